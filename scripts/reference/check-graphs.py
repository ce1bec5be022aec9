#!/usr/bin/env python3
"""Runs the ONNX checker with full shape inference over a checkpoint's exports: check-graphs.py PLANFORGE FOLDER

FOLDER is a checkpoint with its task in case.json, or one of fixtures/models, whose task is in its configuration. The
exports are copied first: the checker refuses weights that have several names on disk, as an export's weights have.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx

TASKS = {
    "ForMaskedLM": "fill-mask",
    "ForQuestionAnswering": "question-answering",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForImageClassification": "image-classification",
    "ForImageClassificationWithTeacher": "image-classification",
}


def task_of(folder):
    case = folder / "case.json"
    if case.exists():
        return json.loads(case.read_text())["task"]
    config = json.loads((folder / "config.json").read_text())
    if "architecture" in config:
        return "image-classification"
    architecture = config["architectures"][0]
    found = [task for ending, task in TASKS.items() if architecture.endswith(ending)]
    return found[0] if found else "feature-extraction"


def main():
    planforge, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    task = task_of(folder)
    images = task == "image-classification"
    size = "" if (folder / "case.json").exists() or not images else "image_size = [32, 32]\n"
    profile = "batch = [1, 2, 4]\n" + ("" if images else "sequence = [4, 8, 16]\n")
    with tempfile.TemporaryDirectory(dir=folder.parent if (folder / "case.json").exists() else None) as work:
        pipeline = Path(work) / "model.toml"
        pipeline.write_text(
            f'name = "model"\ntask = "{task}"\n[source]\npath = "{folder}"\n[[profiles]]\n{profile}'
            f'[export]\nprecisions = ["fp32", "fp16", "bf16"]\n{size}'
        )
        command = [planforge, "export", str(pipeline), "--output", f"{work}/out", "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for precision in ["fp32", "fp16", "bf16"]:
            copied = Path(work) / precision
            shutil.copytree(Path(work) / f"out/model/export/onnx-{precision}", copied)
            onnx.checker.check_model(str(copied / "model.onnx"), full_check=True)
            model = onnx.load(str(copied / "model.onnx"), load_external_data=False)
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
            known = {info.name for info in inferred.graph.value_info} | {info.name for info in inferred.graph.output}
            missing = [name for node in inferred.graph.node for name in node.output if name not in known]
            if missing:
                sys.exit(f"{folder.name} {precision}: no shape was inferred for {missing[:5]}")
            shutil.rmtree(copied)
            print(f"{folder.name} {precision}: {len(model.graph.node)} nodes, checked")


if __name__ == "__main__":
    main()
