#!/usr/bin/env python3
"""Makes fixtures/mutations.json: what transformers and timm compute with checkpoints of fixtures/models of which one key
of the configuration was changed.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/tiny-mutations.py

For each checkpoint, key and value (none where the key is left out) what becomes of the main output: its first values,
`null` where they are as before, or that the reference takes the value for a mistake. Keys are those of scripts/reference/config-keys.py; keys
that every model of transformers has are changed for one model over texts and one over images. Sizes of images are left
to image-mutations.py, since they change the input.
"""

import itertools
import json
import tempfile
from pathlib import Path

import torch
import transformers
from mutations import KEYS, LEFT_OUT, changed, other_values, run_timm, run_transformers, set_key

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "fixtures/mutations.json"
# The name of a checkpoint in fixtures/models, its task, and what it is in the list of keys.
CHECKPOINTS = [
    ("bert", "feature-extraction", "bert"),
    ("bert-classifier", "text-classification", "bert"),
    ("roberta-masked", "fill-mask", "roberta"),
    ("xlm-roberta-classifier", "text-classification", "xlm-roberta"),
    ("camembert-masked", "fill-mask", "camembert"),
    ("distilbert-masked", "fill-mask", "distilbert"),
    ("mpnet", "feature-extraction", "mpnet"),
    ("electra/features", "feature-extraction", "electra"),
    ("vit", "image-classification", "vit"),
    ("deit-class-token", "image-classification", "deit"),
    ("resnet", "image-classification", "resnet"),
    ("convnext", "image-classification", "convnext"),
    ("timm-resnet50", "image-classification", "timm-resnet"),
    ("timm-convnext", "image-classification", "timm-convnext"),
    ("timm-vit", "image-classification", "timm-vit"),
]
WITH_KEYS_OF_EVERY_MODEL = ["bert-classifier", "vit"]
LEFT_TO_IMAGES = ["image_size", "img_size", "input_size", "fixed_input_size"]
# The output that is compared for a task, where it is not the scores.
OUTPUTS = {"feature-extraction": "last_hidden_state", "image-classification": "OUTPUT__0"}
KEPT = 12
MOST_VALUES = 3


def keys_of(name, kind):
    """Where a key stands, the key and its default."""
    if kind.startswith("timm-"):
        model_arguments = KEYS["timm_arguments"][kind.removeprefix("timm-")]
        yield from (("model_args", key, default) for key, default in model_arguments.items())
        yield from (("pretrained_cfg", key, default) for key, default in KEYS["pretrained_cfg"].items())
        return
    model = KEYS["models"][kind]
    every = KEYS["base"] if name in WITH_KEYS_OF_EVERY_MODEL else {}
    extra = dict.fromkeys(["position_embedding_type", "pruned_heads", "unknown_key", *model["aliases"]])
    yield from ((None, key, default) for key, default in (extra | every | model["keys"]).items())


def recorded_inputs(folder):
    def tensor(name, given):
        data_type = torch.float32 if name == "INPUT__0" else torch.int64
        return torch.tensor(given["values"], dtype=data_type).reshape(given["shape"])

    given = json.loads((folder / "expected.json").read_text())["inputs"]
    return {name: tensor(name, recorded) for name, recorded in given.items()}


def values_of(key, present):
    """Some other values, none, and the key left out."""
    others = (value for value in other_values(key, present) if value not in (None, LEFT_OUT))
    return [*itertools.islice(others, MOST_VALUES), None, LEFT_OUT]


def outcome_of(outcome, output, unchanged):
    """The first values of the output, `null` where they are as before, or that the reference takes it for a mistake."""
    if outcome.refusal:
        return "mistake"
    found = outcome.outputs[output]
    if found.shape == unchanged.shape and torch.allclose(found, unchanged, rtol=1e-5, atol=1e-6):
        return None
    return [float(f"{number:.7g}") for number in found[:KEPT].tolist()]


def mutations(name, task, kind, work):
    folder = ROOT / "fixtures/models" / name
    inputs = recorded_inputs(folder)
    run = run_timm if kind.startswith("timm-") else run_transformers
    config = json.loads((folder / "config.json").read_text())
    output = OUTPUTS.get(task, "logits")
    unchanged = run(folder, task, inputs).outputs[output]
    for table, key, default in keys_of(name, kind):
        if key in LEFT_TO_IMAGES:
            continue
        for value in values_of(key, (config[table] if table else config).get(key, default)):
            edit = set_key(key, value)
            target = changed(folder, work / "changed", lambda config: edit(config[table] if table else config))
            path = f"{table}.{key}" if table else key
            entry = {"key": path} | ({} if value is LEFT_OUT else {"value": value})
            yield entry | {"outcome": outcome_of(run(target, task, inputs), output, unchanged)}


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    parts = []
    with tempfile.TemporaryDirectory(dir=ROOT / "fixtures") as work:
        for name, task, kind in CHECKPOINTS:
            found = [json.dumps(entry) for entry in mutations(name, task, kind, Path(work))]
            print(name, len(found), flush=True)
            parts.append(f"{json.dumps(name)}: [\n" + ",\n".join(found) + "\n]")
    TARGET.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
