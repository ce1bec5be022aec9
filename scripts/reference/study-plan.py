#!/usr/bin/env python3
"""Prints a row for each of the study's results on T4 and A10G: copies that `planforge plan` predicts for the pipeline's
largest batch, and copies that the study counted: study-plan.py PLANFORGE FOLDER

With nothing but Python's standard library.
"""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GPUS = {"ml.g4dn.2xlarge": "t4", "ml.g5.2xlarge": "a10g"}


def predict(program, folder, name):
    """Rows of the plan by platform and GPU, of the pipeline's largest batch."""
    checkpoints = ["python3", str(ROOT / "scripts/reference/random-checkpoint.py"), str(folder), name]
    subprocess.run(checkpoints, check=True)
    text = (ROOT / f"pipelines/{name}.toml").read_text(encoding="utf-8")
    text = re.sub(r'(?m)^repo = .*\n(revision = .*\n)?', f'path = "{name}"\n', text)
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    command = [program, "plan", f"{name}.toml", "--gpu", "t4,a10g", "--native", str(ROOT / ".native"), "--json"]
    plan = json.loads(subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout)
    rows = [row for row in plan["rows"] if row["max_batch"] == plan["max_batch"]]
    return {(row["variant"].split("-")[0], row["gpu"]): row for row in rows}


def main():
    program, folder = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with open(ROOT / "docs/study-results.csv", encoding="utf-8", newline="") as file:
        results = [row for row in csv.DictReader(file) if row["instance_type"] in GPUS]
    counted = {(row["model"], row["framework"], row["instance_type"]): row["max_models_loaded"] for row in results}
    print("| model | GPU | largest batch | framework | weights | activations | predicted | counted by the study | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(row["model"] for row in results):
        rows = predict(program, folder, name)
        for instance, gpu in GPUS.items():
            for framework in ("TensorRT", "PyTorch"):
                row, count = rows[framework.lower(), gpu], int(counted[name, framework, instance])
                weights, activations = (row["memory"][f"{part}_byte_count"] / 2**20 for part in ("weight", "activation"))
                print(
                    f"| `{name}` | {gpu} | {row['max_batch']} | {framework} | {weights:.0f} MiB | {activations:.0f} MiB "
                    f"| {row['copies']} | {count} | {row['copies'] / count:.2f} |"
                )


if __name__ == "__main__":
    main()
