#!/usr/bin/env python3
"""Compiles models of full size for several GPU types and sets planforge's time beside the builder's own.

    python3 scripts/reference/bench-compile.py PLANFORGE FOLDER NAME...

Checkpoints are those of random-checkpoint.py, made in FOLDER when they are not there; everything else is made anew.
Exports and checks are made first and do not count. Then

- engines for one GPU type are built one at a time: the time of each build process, the time in TensorRT's library in
  it, and what is left; and the same for the whole command, digests and links included;
- engines for a new GPU type are built from the cached exports, as many at once as the machine takes;
- the command for four GPU types is repeated with everything cached; the fastest of three runs counts.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SCRIPTS = Path(__file__).parent
PROFILES = {
    "resnet50": "batch = [1, 64, 128]",
    "convnext_base": "batch = [1, 16, 32]",
    "vit_large_patch16_224": "batch = [1, 16, 32]",
    "bert-base-uncased": "batch = [1, 16, 32]\nsequence = [128, 128, 128]",
    "roberta-large": "batch = [1, 16, 32]\nsequence = [128, 128, 128]",
}
GPUS = ["t4", "a10g", "l4", "rtx-pro-6000"]
# Of the builder's time, and seconds for each engine; seconds for a cached run and for a new GPU type.
OVERHEAD_SHARE, OVERHEAD_SECONDS, CACHED_SECONDS, NEW_GPU_SECONDS = 0.05, 0.3, 0.5, 90


def write_pipelines(folder, names):
    for name in names:
        task = "feature-extraction" if "sequence" in PROFILES[name] else "image-classification"
        (folder / f"{name}.toml").write_text(
            f'name = "{name}"\ntask = "{task}"\n[source]\npath = "{name}"\n[[profiles]]\n{PROFILES[name]}\n'
            '[export]\nprecisions = ["fp16"]\nmeasure_ranges = false\n'
            f'[compile]\ngpus = {json.dumps(GPUS)}\n[package]\nplatforms = ["tensorrt"]\n'
        )


def run(program, folder, *arguments):
    """Wall time and the reports, one for each pipeline."""
    command = [program, *arguments, "--output", folder / "out", "--quiet", "--json"]
    start = time.perf_counter()
    ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - start
    if ended.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {ended.returncode}")
    return seconds, [json.loads(line) for line in ended.stdout.splitlines()]


def verdict(holds):
    return "met" if holds else "NOT MET"


def show(name, whole, builder, engines):
    left = whole - builder
    allowed = OVERHEAD_SHARE * builder + OVERHEAD_SECONDS * engines
    holds = verdict(left <= allowed)
    print(f"{name:30} {whole:8.2f} s {builder:8.2f} s {left:7.2f} s {whole / builder:6.3f}  {allowed:7.2f} s  {holds}")


def main():
    if len(sys.argv) < 4 or any(name not in PROFILES for name in sys.argv[3:]):
        sys.exit(f"{__doc__}\nNAME is one of {', '.join(PROFILES)}")
    program, folder, names = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3:]
    subprocess.run([sys.executable, SCRIPTS / "random-checkpoint.py", folder, *names], check=True)
    for old in folder.glob("*.toml"):
        old.unlink()
    write_pipelines(folder, names)
    shutil.rmtree(folder / "out", ignore_errors=True)
    print(f"{os.cpu_count()} processors, {', '.join(names)} in fp16", flush=True)
    run(program, folder, "check", "*.toml")

    whole, reports = run(program, folder, "compile", "*.toml", "--gpu", "a10g", "--jobs", "1")
    engines = [(report["pipeline"], engine) for report in reports for engine in report["engines"]]
    print(f"{'one at a time, for a10g':30} {'planforge':>10} {'builder':>10} {'left':>9} {'ratio':>6}  {'allowed':>9}")
    for name, engine in engines:
        show(name, engine["build_duration_seconds"], engine["builder_duration_seconds"], 1)
    builder = sum(engine["builder_duration_seconds"] for _, engine in engines)
    show("the whole command", whole, builder, len(engines))

    whole, reports = run(program, folder, "compile", "*.toml", "--gpu", "rtx-pro-6000")
    rows = [row for report in reports for row in report["artifacts"] if row["outcome"] == "built"]
    assert len(rows) == len(names) and all(row["step"] == "compile" for row in rows), rows
    peak = max(engine["build_peak_byte_count"] for report in reports for engine in report["engines"]) / 2**30
    holds = verdict(whole <= NEW_GPU_SECONDS)
    print(f"all for a new GPU type, at once: {whole:.1f} s, largest build {peak:.2f} GiB ({NEW_GPU_SECONDS} s: {holds})")

    run(program, folder, "compile", "*.toml")
    cached = []
    for _ in range(3):
        whole, reports = run(program, folder, "compile", "*.toml")
        assert all(row["outcome"] == "cached" for report in reports for row in report["artifacts"])
        cached.append(whole)
    count = sum(len(report["engines"]) for report in reports)
    holds = verdict(min(cached) <= CACHED_SECONDS)
    print(f"{count} engines, all cached: {min(cached):.3f} s ({CACHED_SECONDS} s: {holds})")
    shutil.rmtree(folder / "out")


if __name__ == "__main__":
    main()
