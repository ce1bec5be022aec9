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
import tomllib
import warnings
from pathlib import Path

import torch

MODELS = Path(__file__).resolve().parents[2] / "fixtures/models"
TOLERANCE = 1e-5
MORE_PADDING = 4


def case(folder):
    """What `case.toml` says of a checkpoint."""
    return tomllib.loads((folder / "case.toml").read_text())


def export(program, name, source, folder):
    """The file of a checkpoint's module."""
    described = case(source)
    size = f"image_size = {described['image_size']}\n" if "image_size" in described else ""
    texts = described["task"] != "image-classification"
    profile = "batch = [1, 2, 4]\nsequence = [1, 8, 16]" if texts else "batch = [1, 2, 4]"
    text = (
        f'name = "{name}"\ntask = "{described["task"]}"\n[source]\npath = "{source}"\n[[profiles]]\n{profile}\n'
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


def check(module, names, expected):
    """Largest difference of any run."""
    inputs = [argument.name for argument in module.forward.schema.arguments][1:]
    given = {given: tensor(expected["inputs"][given]) for given in inputs}
    given = {key: value if value.dim() == 4 else value.long() for key, value in given.items()}
    wanted = [tensor(expected["outputs"][output]) for output in names]
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
        for source in sorted(path.parent for path in MODELS.rglob("case.toml")):
            name = "-".join(source.relative_to(MODELS).parts)
            if names and name not in names:
                continue
            expected = json.loads((source / "expected.json").read_text())
            output_names = case(source)["outputs"]
            file = export(program, name, source, Path(folder))
            module = torch.jit.load(file)
            assert "device" not in module.code, name
            largest = check(module, output_names, expected)
            again = Path(folder) / "again.pt"
            torch.jit.freeze(module.eval()).save(str(again))
            largest = max(largest, check(torch.jit.load(again), output_names, expected))
            print(f"{name:24} {largest:.1e}")
            assert largest <= TOLERANCE, name


if __name__ == "__main__":
    main()
