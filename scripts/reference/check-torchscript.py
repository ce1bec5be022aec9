#!/usr/bin/env python3
"""Loads exported TorchScript modules into PyTorch and compares them with expected.json.

    venv/bin/python scripts/reference/check-torchscript.py PLANFORGE [NAME...]

PLANFORGE is a program built with `--features torch`. Exports the checkpoints of fixtures/models, all of them or those
named, in fp32; runs each module on the recorded batch, on each row alone and, for texts, with more padding; and checks
that it takes its inputs by name too, names no device, and survives freezing and saving.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch

MODELS = Path(__file__).resolve().parents[2] / "fixtures/models"
TOLERANCE = 1e-5
MORE_PADDING = 4

# Task and outputs by the end of a checkpoint's name; the others over texts give hidden states.
TASKS = {
    "-classifier": ("text-classification", ["logits"]),
    "-tokens": ("token-classification", ["logits"]),
    "-answers": ("question-answering", ["start_logits", "end_logits"]),
    "-masked": ("fill-mask", ["logits"]),
}


def task(name, expected):
    """What the fixture was made for, and its outputs."""
    everything = list(expected["outputs"])
    if "input_ids" not in expected["inputs"]:
        return "image-classification", everything
    return next((task for end, task in TASKS.items() if name.endswith(end)), ("feature-extraction", everything))


def export(program, name, expected, folder):
    """The file of a checkpoint's module."""
    kind, _ = task(name, expected)
    images = kind == "image-classification"
    size = 'image_size = [32, 32]\n' if images and name.startswith("resnet") else ""
    profile = "batch = [1, 2, 4]" if images else "batch = [1, 2, 4]\nsequence = [1, 8, 16]"
    text = (
        f'name = "{name}"\ntask = "{kind}"\n[source]\npath = "{MODELS / name}"\n[[profiles]]\n{profile}\n'
        f'[export]\nformats = ["onnx", "torchscript"]\n{size}'
    )
    pipeline = folder / f"{name}.toml"
    pipeline.write_text(text)
    command = [program, "export", "--quiet", "--output", folder / "out", pipeline]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "out" / name / "export/torchscript-fp32/model.pt"


def tensor(recorded):
    """A tensor of expected.json."""
    return torch.tensor(recorded["values"]).reshape(recorded["shape"])


def outputs(found):
    """One tensor or a tuple, as a list."""
    return list(found) if isinstance(found, tuple) else [found]


def difference(found, expected):
    """Largest, relative to the largest expected value."""
    return ((found - expected).abs().max() / expected.abs().max()).item()


def check(module, name, expected):
    """Largest difference of any run."""
    inputs = [argument.name for argument in module.forward.schema.arguments][1:]
    given = {given: tensor(expected["inputs"][given]) for given in inputs}
    given = {key: value if value.dim() == 4 else value.long() for key, value in given.items()}
    wanted = [tensor(expected["outputs"][output]) for output in task(name, expected)[1]]
    batch = len(wanted[0])

    def compare(inputs, rows):
        found = outputs(module(*inputs))
        assert all(output.dtype == torch.float32 for output in found)
        cut = [output[tuple(slice(size) for size in want[rows].shape)] for output, want in zip(found, wanted, strict=True)]
        return max(difference(output, want[rows]) for output, want in zip(cut, wanted, strict=True))

    with torch.no_grad():
        worst = [compare(given.values(), slice(batch))]
        worst += [compare([value[row : row + 1] for value in given.values()], slice(row, row + 1)) for row in range(batch)]
        if "input_ids" in given:
            padded = [torch.nn.functional.pad(value, (0, MORE_PADDING)) for value in given.values()]
            worst.append(compare(padded, slice(batch)))
        by_name = outputs(module(**given))
        assert all(torch.equal(a, b) for a, b in zip(by_name, outputs(module(*given.values()))))
    return max(worst)


def main():
    program, *names = sys.argv[1:]
    program = str(Path(program).resolve())
    warnings.filterwarnings("ignore", category=FutureWarning)
    print("PyTorch", torch.__version__)
    with tempfile.TemporaryDirectory() as folder:
        for name in names or sorted(path.name for path in MODELS.iterdir()):
            expected = json.loads((MODELS / name / "expected.json").read_text())
            file = export(program, name, expected, Path(folder))
            module = torch.jit.load(file)
            assert "device" not in module.code, name
            largest = check(module, name, expected)
            again = Path(folder) / "again.pt"
            torch.jit.freeze(module.eval()).save(str(again))
            largest = max(largest, check(torch.jit.load(again), name, expected))
            print(f"{name:24} {largest:.1e}")
            assert largest <= TOLERANCE, name


if __name__ == "__main__":
    main()
