#!/usr/bin/env python3
"""Times exports of planforge and of PyTorch side by side: bench-export.py PLANFORGE FOLDER NAME...

Checkpoints are those of full-models.py, made in FOLDER when they are not there. Every command starts from an empty
output folder; planforge's is given with digests of the checkpoint known from an earlier run, and without ("first"); in
fp16 without measuring the ranges of values, and with ("ranges").
The fastest of the runs counts, after one that is not counted. Memory is the largest resident set of the process as
the kernel counts it.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

RUNS = 3
PEER_RUNS = 1
SCRIPTS = Path(__file__).parent

PEER = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import load_file
folder, target = Path(sys.argv[1]), sys.argv[2]
config = json.loads((folder / "config.json").read_text())
if "architecture" in config:
    import timm
    model = timm.create_model(config["architecture"]).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    inputs, shapes = (torch.zeros(2, 3, 224, 224),), ({0: "batch"},)
else:
    import transformers
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = torch.ones(2, 32, dtype=torch.int64)
    inputs, shapes = (ids, ids), ({0: "batch", 1: "sequence"},) * 2
torch.onnx.export(model, inputs, target, dynamo=True, dynamic_shapes=shapes, verbose=False)
"""


def run_once(command):
    """Seconds and peak resident bytes of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with status {status}")
    return seconds, usage.ru_maxrss * 1024


def best(prepare, command, runs):
    """The fastest run and the largest memory, after one run that does not count."""
    measured = []
    for _ in range(runs + 1):
        prepare()
        measured.append(run_once(command))
    counted = measured[1:]
    return min(seconds for seconds, _ in counted), max(memory for _, memory in counted)


def pipeline(folder, task, precision, ranges):
    profile = "batch = [1, 2, 4]\n" + ("" if task == "image-classification" else "sequence = [8, 16, 32]\n")
    path = folder.parent / f"{folder.name}-{precision}.toml"
    path.write_text(
        f'name = "model"\ntask = "{task}"\n[source]\npath = "{folder}"\n[[profiles]]\n{profile}'
        f'[export]\nprecisions = ["{precision}"]\nmeasure_ranges = {str(ranges).lower()}\n'
    )
    return path


def planforge(program, folder, precision, digests_known=True, ranges=False):
    is_timm = '"model_type"' not in (folder / "config.json").read_text()
    task = "image-classification" if is_timm else "feature-extraction"
    output = folder.parent / "out"
    cache = output / ".cache"

    def prepare():
        kept = folder.parent / "digests"
        shutil.rmtree(kept, ignore_errors=True)
        if digests_known and (cache / "digests").exists():
            shutil.move(cache / "digests", kept)
        shutil.rmtree(output, ignore_errors=True)
        if kept.exists():
            cache.mkdir(parents=True)
            shutil.move(kept, cache / "digests")

    command = [program, "export", pipeline(folder, task, precision, ranges), "--output", output, "--quiet"]
    measured = best(prepare, command, RUNS)
    shutil.rmtree(output)
    return measured


def peer(folder):
    target = folder.parent / "peer"

    def prepare():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()

    measured = best(prepare, [sys.executable, "-c", PEER, folder, target / "model.onnx"], PEER_RUNS)
    shutil.rmtree(target)
    return measured


def show(name, what, measured, reference):
    seconds, memory = measured
    ratios = f"{reference[0] / seconds:8.1f} x  {reference[1] / memory:6.1f} x" if reference else ""
    print(f"{name:24} {what:22} {seconds:9.3f} s {memory / 2**20:9.1f} MiB  {ratios}", flush=True)


def main():
    program, folder, names = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3:]
    print(f"{'':47} {'wall':>11} {'peak':>13}   faster   smaller")
    for name in names:
        checkpoint = folder / name
        if not (checkpoint / "case.toml").exists():
            shutil.rmtree(checkpoint, ignore_errors=True)
            subprocess.run([sys.executable, SCRIPTS / "full-models.py", name, checkpoint], check=True, stderr=subprocess.DEVNULL)
        reference = peer(checkpoint)
        show(name, "torch.onnx.export", reference, None)
        show(name, "planforge fp32", planforge(program, checkpoint, "fp32"), reference)
        first = planforge(program, checkpoint, "fp32", digests_known=False)
        show(name, "planforge fp32, first", first, reference)
        show(name, "planforge fp16", planforge(program, checkpoint, "fp16"), reference)
        # Texts need a tokenizer, which these checkpoints do not have.
        if "architecture" in (checkpoint / "config.json").read_text().replace("architectures", ""):
            measured = planforge(program, checkpoint, "fp16", ranges=True)
            show(name, "planforge fp16, ranges", measured, reference)


if __name__ == "__main__":
    main()
