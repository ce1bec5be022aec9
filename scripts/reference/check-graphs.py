#!/usr/bin/env python3
"""Runs the ONNX checker with full shape inference over a checkpoint's exports: check-graphs.py PLANFORGE FOLDER

FOLDER is a checkpoint with its task in case.toml. The exports are copied first: the checker refuses weights that have several names on disk, as an export's weights have.
"""

import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import onnx

def main():
    planforge, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    case = tomllib.loads((folder / "case.toml").read_text())
    task = case["task"]
    size = f"image_size = {case['image_size']}\n" if "image_size" in case else ""
    profile = "batch = [1, 2, 4]\n" + ("" if task.startswith("image") else "sequence = [4, 8, 16]\n")
    # Weights can be linked only within a file system; the folder of a checkpoint of full size is such a place.
    with tempfile.TemporaryDirectory(dir=folder.parent if "parameters" in case else None) as work:
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
