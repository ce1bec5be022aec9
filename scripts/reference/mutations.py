#!/usr/bin/env python3
"""Changes each key of a configuration, and compares planforge with the reference: mutations.py PLANFORGE [MODEL...]

MODEL is a `model_type` of transformers, or `timm-resnet`, `timm-convnext`, `timm-vit`; all by default. For each key that
scripts/reference/config-keys.py finds, a small random checkpoint gets other values of it: once in the file alone, once
with weights made for the value. Then the export has to give what the reference gives, or planforge has to refuse the
checkpoint. With MUTATIONS_DETAILS=1 each refusal is printed, and each checkpoint that only the reference refuses. Ends with
4 where an export is wrong.
"""

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import onnxruntime
import timm
import torch
import transformers
from reference import randomise, save_timm, text_batch

ROOT = Path(__file__).parents[2]
KEYS = json.loads((ROOT / "crates/engine/src/reference-keys.json").read_text())
TOLERANCE = 2e-4
LEFT_OUT = object()
LABELS = {"0": "bad", "1": "so so", "2": "good"}

TEXT = dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24)
TEXT |= dict(max_position_embeddings=26)
VIT = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, image_size=32, patch_size=8)
SIZES = {
    "bert": TEXT,
    "roberta": TEXT,
    "xlm-roberta": TEXT,
    "camembert": TEXT,
    "mpnet": TEXT,
    "electra": TEXT | dict(embedding_size=8),
    "distilbert": dict(vocab_size=40, dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=26),
    "vit": VIT,
    "deit": VIT,
    "resnet": dict(embedding_size=8, hidden_sizes=[16, 32], depths=[1, 2]),
    "convnext": dict(hidden_sizes=[8, 16], depths=[1, 2], num_stages=2, image_size=32),
}
TASKS = {
    "feature-extraction": transformers.AutoModel,
    "text-classification": transformers.AutoModelForSequenceClassification,
    "fill-mask": transformers.AutoModelForMaskedLM,
    "image-classification": transformers.AutoModelForImageClassification,
    "image-feature-extraction": transformers.AutoModel,
}
TIMM = {
    "timm-resnet": ("resnet26", dict(layers=[1, 1, 1, 1], channels=[4, 4, 8, 8])),
    "timm-convnext": ("convnext_tiny", dict(depths=[1, 1, 2, 1], dims=[8, 8, 16, 16])),
    "timm-vit": ("vit_tiny_patch16_224", dict(embed_dim=12, depth=2, num_heads=3, patch_size=8, img_size=32)),
}
ACTIVATIONS = sorted(transformers.activations.ACT2FN)
# Values that do not follow from the present one.
VALUES = {
    "hidden_act": ACTIVATIONS,
    "activation": ACTIVATIONS,
    "pooler_act": ACTIVATIONS,
    "layer_type": ["basic"],
    "position_embedding_type": ["relative_key", "relative_key_query"],
    "problem_type": ["regression", "multi_label_classification"],
    "quantization_config": [{"quant_method": "bitsandbytes", "load_in_8bit": True}],
    "per_layer_config": [{"0": {"intermediate_size": 12}}],
    "pruned_heads": [{"0": [1]}],
    "auto_map": [{"AutoModel": "modeling_own.OwnModel"}],
    "dtype": ["float16"],
    "torch_dtype": ["bfloat16"],
    "image_size": [16, 64, [32, 64]],
    "patch_size": [4, [8, 8], [4, 8]],
    "head_dim": [4, 8],
    "depths": [[2, 2], [1, 1], [1, 1, 1, 1], [1, 2, 2, 1]],
    "dims": [[8, 8, 16, 32], [8, 16]],
    "hidden_sizes": [[8, 32]],
    "global_pool": ["avg", "max", "token", ""],
    "act_layer": ["silu", "gelu_tanh"],
    "norm_layer": ["layernorm"],
    "stem_type": ["deep"],
    "pos_embed": ["none"],
    "img_size": [32, 64],
    "input_size": [[3, 64, 64], [3, 32, 64]],
    "label_offset": [1],
    "transformers_weights": ["other.safetensors"],
    "model_type": [],
    "architectures": [["OtherModel"], [], "BertModel"],
    "num_labels": [2, 3, 4, "3", 3.0],
    "id2label": [
        {},
        {"2": "good", "0": "bad", "1": "so so"},
        {"0": "bad", "1": "so so"},
        {"0": "bad", "1": "so so", "3": "good"},
        {"a": "bad", "b": "so so", "c": "good"},
        ["bad", "so so", "good"],
    ],
    "label2id": [{"bad": 0, "good": 1}, {}],
    "summary_type": ["mean"],
}


def other_values(key, present):
    """Other values of a key, and none."""
    if key in VALUES:
        yield from VALUES[key]
    elif isinstance(present, bool):
        yield from [not present, int(present), str(present)]
    elif isinstance(present, int):
        yield from [present + 1, 2 * present, 0, float(present), str(present), True]
    elif isinstance(present, float):
        yield from [10 * present + 0.01, 0.0, 1, str(present), float("inf")]
    elif isinstance(present, str):
        yield "other"
    elif present is None:
        yield from [True, 2, "other"]
    yield None
    yield LEFT_OUT


class Outcome(collections.namedtuple("Outcome", "outputs refusal")):
    """What an implementation gives: outputs by name, or why it gives none."""


def planforge_session(program, folder, task, work):
    """The exported graph, or the error."""
    profile = "batch = [1, 2, 4]\n" + ("" if task.startswith("image") else "sequence = [4, 8, 16]\n")
    pipeline = work / "model.toml"
    pipeline.write_text(f'name = "model"\ntask = "{task}"\n[source]\npath = "{folder}"\n[[profiles]]\n{profile}')
    output = work / "out"
    shutil.rmtree(output, ignore_errors=True)
    command = [program, "export", str(pipeline), "--output", str(output), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip().replace("\n", " ")
    return onnxruntime.InferenceSession(output / "model/export/onnx-fp32/model.onnx"), None


def inputs_of(session, generator, padding):
    """Texts of different lengths, or images of the size that the graph takes."""
    specs = {spec.name: spec for spec in session.get_inputs()}
    if "INPUT__0" in specs:
        _, channels, height, width = specs["INPUT__0"].shape
        return {"INPUT__0": torch.randn((2, channels, height, width), generator=generator)}
    batch = text_batch(padding, 40, generator)
    return {name: value for name, value in batch.items() if name in specs}


def names_of_reference(inputs):
    return {"pixel_values" if name == "INPUT__0" else name: value for name, value in inputs.items()}


def run_transformers(folder, task, inputs):
    """What transformers gives; a checkpoint that leaves weights to chance gives nothing."""
    try:
        model, info = TASKS[task].from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        missing = [name for name in info["missing_keys"] if "pooler" not in name]
        if missing:
            return Outcome({}, f"weights left to chance: {missing[:3]}")
        with torch.no_grad():
            given = model.eval()(**names_of_reference(inputs), return_dict=True)
        found = {name: value for name, value in given.items() if torch.is_tensor(value)}
        if "logits" in found:
            found["OUTPUT__0"] = found["logits"]
        return Outcome({name: value.flatten() for name, value in found.items()}, None)
    except Exception as error:
        return Outcome({}, f"{type(error).__name__}: {error}"[:150])


def run_timm(folder, task, inputs):
    try:
        model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        size = timm.data.resolve_model_data_config(model)["input_size"]
        if tuple(inputs["INPUT__0"].shape[1:]) != tuple(size):
            return Outcome({"OUTPUT__0": torch.zeros(0)}, None)
        with torch.no_grad():
            hidden = model.forward_features(inputs["INPUT__0"])
            pooled = model.forward_head(hidden, pre_logits=True)
            found = {"last_hidden_state": hidden, "pooler_output": pooled, "OUTPUT__0": model.forward_head(hidden)}
        return Outcome({name: value.flatten() for name, value in found.items()}, None)
    except Exception as error:
        return Outcome({}, f"{type(error).__name__}: {error}"[:150])


def difference(session, inputs, outcome):
    """The largest difference relative to the largest value, over the outputs of the graph."""
    given = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    largest = 0.0
    for spec, value in zip(session.get_outputs(), given):
        expected = outcome.outputs.get(spec.name)
        found = torch.from_numpy(value).flatten()
        if expected is None or expected.shape != found.shape:
            return float("inf")
        scale = expected.abs().max().clamp_min(1e-6)
        largest = max(largest, ((found - expected).abs().max() / scale).item())
    return largest


class Trial:
    """Compares the two on one changed checkpoint after another, and keeps the count."""

    def __init__(self, program, work, run):
        self.program, self.work, self.run = program, work, run
        self.counts = collections.Counter()
        self.wrong, self.lenient, self.refused = [], [], []

    def compare(self, what, folder, task, padding=1):
        session, refusal = planforge_session(self.program, folder, task, self.work)
        if session is None:
            self.counts["refused"] += 1
            self.refused.append((what, re.sub(r".*config.json`: ", "", refusal)[:160]))
            return
        inputs = inputs_of(session, torch.Generator().manual_seed(7), padding)
        outcome = self.run(folder, task, inputs)
        if outcome.refusal:
            self.counts["taken, though the reference fails"] += 1
            self.lenient.append((what, outcome.refusal))
            return
        found = difference(session, inputs, outcome)
        self.counts["equal" if found <= TOLERANCE else "WRONG"] += 1
        if not found <= TOLERANCE:
            self.wrong.append((what, found))


def changed(folder, target, edit):
    """A checkpoint with the same weights and another configuration."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (target / "config.json").write_text(json.dumps(config))
    os.link(folder / "model.safetensors", target / "model.safetensors")
    return target


def set_key(key, value):
    def edit(config):
        if value is LEFT_OUT:
            config.pop(key, None)
        else:
            config[key] = value

    return edit


def save_model(config, task, folder):
    # Where a task has several classes, as for DeiT, transformers looks for one among these.
    config.architectures = config.architectures or []
    model = TASKS[task].from_config(config)
    randomise(model, torch.Generator().manual_seed(1))
    model.save_pretrained(folder)


def of_transformers(program, model_type, work):
    known = KEYS["base"] | KEYS["models"][model_type]["keys"]
    extra = ["position_embedding_type", "pruned_heads", "is_decoder", "unknown_key"]
    names = [*known, *KEYS["models"][model_type]["aliases"], *[name for name in extra if name not in known]]
    tasks = [task for task in TASKS if task.startswith("image") == (model_type in ("vit", "deit", "resnet", "convnext"))]
    trial = Trial(program, work, run_transformers)
    config_class = transformers.models.auto.configuration_auto.CONFIG_MAPPING[model_type]
    for task in tasks:
        base = work / f"{model_type}-{task}"
        save_model(config_class(**SIZES[model_type], id2label=LABELS), task, base)
        present = json.loads((base / "config.json").read_text())
        trial.compare((task, "unchanged"), base, task)
        for key in names:
            for value in other_values(key, present.get(key, known.get(key))):
                shown = "left out" if value is LEFT_OUT else json.dumps(value)
                target = changed(base, work / "changed", set_key(key, value))
                trial.compare((task, key, shown), target, task)
                if value is LEFT_OUT or value is None:
                    continue
                # With weights that the reference makes for the value.
                own = work / "own"
                shutil.rmtree(own, ignore_errors=True)
                try:
                    sizes = SIZES[model_type] | {"id2label": LABELS, key: value}
                    save_model(config_class(**sizes), task, own)
                except Exception:
                    continue
                if (own / "model.safetensors").exists():
                    trial.compare((task, key, shown, "own weights"), own, task)
    return trial


def of_timm(program, name, work):
    architecture, sizes = TIMM[name]
    trial = Trial(program, work, run_timm)
    arguments = KEYS["timm_arguments"][name.removeprefix("timm-")]
    base = work / "base"

    def save(folder, given):
        model = timm.create_model(architecture, num_classes=3, **given)
        randomise(model, torch.Generator().manual_seed(1))
        save_timm(model, folder, {"num_classes": 3} | given, {"input_size": [3, 32, 32]})

    save(base, sizes)
    present = json.loads((base / "config.json").read_text())
    tasks = ["image-classification", "image-feature-extraction"]
    for task in tasks:
        trial.compare((task, "unchanged"), base, task)
    for key, default in arguments.items():
        for value in other_values(key, present["model_args"].get(key, default)):
            shown = "left out" if value is LEFT_OUT else json.dumps(value)
            target = changed(base, work / "changed", lambda config: set_key(key, value)(config["model_args"]))
            for task in tasks:
                trial.compare((task, "model_args", key, shown), target, task)
            own = work / "own"
            shutil.rmtree(own, ignore_errors=True)
            try:
                save(own, sizes | ({} if value is LEFT_OUT else {key: value}))
            except Exception:
                continue
            for task in tasks:
                trial.compare((task, "model_args", key, shown, "own weights"), own, task)
    for key, default in (KEYS["pretrained_cfg"] | {"unknown_key": None}).items():
        for value in other_values(key, present["pretrained_cfg"].get(key, default)):
            shown = "left out" if value is LEFT_OUT else json.dumps(value)
            target = changed(base, work / "changed", lambda config: set_key(key, value)(config["pretrained_cfg"]))
            trial.compare((tasks[0], "pretrained_cfg", key, shown), target, tasks[0])
    return trial


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    program, *names = sys.argv[1:]
    program = str(Path(program).resolve())
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in names or [*SIZES, *TIMM]:
            work = Path(folder) / name
            work.mkdir()
            trial = (of_timm if name in TIMM else of_transformers)(program, name, work)
            print(name, dict(trial.counts), flush=True)
            for what, found in trial.wrong:
                print("  WRONG", *what, found)
            if os.environ.get("MUTATIONS_DETAILS"):
                for label, entries in [("taken", trial.lenient), ("refused", trial.refused)]:
                    for what, reason in entries:
                        print(" ", label, *what, "|", reason)
            failed |= bool(trial.wrong)
            shutil.rmtree(work)
    sys.exit(4 if failed else 0)


if __name__ == "__main__":
    main()
