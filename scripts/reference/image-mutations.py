#!/usr/bin/env python3
"""Compares planforge with the references from image files to scores: image-mutations.py PLANFORGE [NAME...]

NAME is a class of image processors of transformers, `unnamed` for files that name no class, or `timm-resnet`,
`timm-convnext`, `timm-vit`; all by default. For each, images of many sizes, modes and formats go through the preparation
as it is saved, and some of them through it with each key that scripts/reference/config-keys.py finds set to other
values. Then `planforge infer` has to give the scores of the reference's own preparation and model, or planforge has to
refuse the checkpoint. A line for each checkpoint; with MUTATIONS_DETAILS=1 also for those that are refused, or that only
the reference refuses. Ends with 4 where scores are wrong.
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

import timm
import torch
import transformers
from image_files import save_images
from mutations import KEYS, LEFT_OUT, TIMM, other_values, set_key
from PIL import Image
from reference import randomise, save_timm

# Images that differ only in size.
FEW = ["rgb-64x64.png", "rgb-90x48.png", "rgb-41x77.png", "rgb-32x32.png", "rgb-7x5.png"]
# Classes whose every key is changed; the others differ from them in defaults.
OFTEN = ["ViTImageProcessor", "DeiTImageProcessor", "ConvNextImageProcessor", "CLIPImageProcessor"]
# Images with a transparent colour, which a class with `do_convert_rgb` makes white, and planforge refuses.
TRANSPARENT_COLOUR = ["palette-transparent.png", "grey-transparent.png", "rgb.transparent.png", "transparent.gif"]
# Of the largest score. Fixed-point filters, and decoders of JPEG that differ by single steps, stay far below.
TOLERANCE = 0.01
# Scores have to depend on the image, or nothing would show.
LEAST_SPREAD = 0.05

SIZE_FORMS = [
    24, 60, 384, "24", 24.0, 0, [20, 28], [24], {"height": 20, "width": 28}, {"width": 28, "height": 20}, {"height": 24},
    {"shortest_edge": 24}, {"shortest_edge": 390}, {"longest_edge": 24}, {"shortest_edge": 24, "longest_edge": 30},
    {"max_height": 24, "max_width": 30}, {"height": 24, "width": 24, "shortest_edge": 20},
]
CHANNELS = [[0.1, 0.3, 0.6], 0.4, [0.4], [0.4, 0.5], [0.4, 0.5, 0.6, 0.7], [1, 1, 1], "half", ["0.1", "0.2", "0.3"]]
VALUES = {
    "size": SIZE_FORMS,
    "crop_size": SIZE_FORMS,
    "resample": [0, 1, 2, 3, 4, 5, 6, "bilinear"],
    "rescale_factor": [1 / 127.5, 1, 0.01, 0, "0.1"],
    "image_mean": CHANNELS,
    "image_std": [*CHANNELS, [0.0, 0.5, 0.5], 0],
    "crop_pct": [0.5, 0.9, 1.0, 1, 1.5, 0, "0.9"],
    "pad_size": [64, {"height": 64, "width": 64}],
    "image_processor_type": [
        "ViTFeatureExtractor", "ViTImageProcessorFast", "CLIPImageProcessorPil", "ConvNextImageProcessorFast",
        "BeitImageProcessor", "OtherImageProcessor", "vit",
    ],
    "feature_extractor_type": ["CLIPFeatureExtractor", "ViTFeatureExtractor", "OtherFeatureExtractor"],
    "data_format": ["channels_last", "channels_first"],
    "input_data_format": ["channels_last", "channels_first"],
    "device": ["cpu"],
    "return_tensors": ["np"],
    "auto_map": [{"AutoImageProcessor": "processing_own.OwnImageProcessor"}],
}
# Keys of other classes, of older releases and of none.
FOREIGN = {
    "do_flip_channel_order": True, "use_square_size": True, "max_size": 30, "size_divisor": 16, "do_reduce_labels": True,
    "crop_pct": 0.5, "do_thumbnail": True, "do_align_long_axis": True, "offset": True, "unknown_key": 1,
    "processor_class": "CLIPProcessor", "_valid_processor_keys": ["images"],
}
TOGETHER = [
    {"size": 24, "default_to_square": True},
    {"size": 24, "default_to_square": False},
    {"size": 24, "default_to_square": False, "do_center_crop": True, "crop_size": 20},
    {"size": {"shortest_edge": 24}, "do_center_crop": True, "crop_size": 40},
    {"size": {"shortest_edge": 25}, "do_center_crop": True, "crop_size": {"height": 18, "width": 21}},
    {"do_resize": False, "do_center_crop": True, "crop_size": 31},
    {"do_resize": False, "do_center_crop": False},
    {"do_rescale": False, "do_normalize": False},
    {"do_normalize": False, "rescale_factor": 1 / 127.5},
    {"do_rescale": False, "image_mean": [120, 110, 100], "image_std": [60, 55, 50]},
    {"size": {"shortest_edge": 24}, "crop_size": 24, "crop_pct": 0.6},
    {"do_pad": True, "pad_size": 64},
]
TIMM_VALUES = {
    "input_size": [[3, 24, 24], [3, 24, 40], [3, 40, 24], [1, 32, 32], [32, 32], 32],
    "test_input_size": [[3, 64, 64]],
    "crop_pct": [0.0, 0.5, 0.9, 0.95, 1.0, 1, 1.2, "0.9"],
    "crop_mode": ["squash", "border", "other"],
    "interpolation": ["bilinear", "bicubic", "nearest", "lanczos", "box", "hamming", "random", "other"],
    "mean": [[0.1, 0.3, 0.6], [0.5], 0.5, []],
    "std": [[0.1, 0.3, 0.6], [0.5], 0.5, []],
    "num_classes": [0, 4],
    "first_conv": ["conv1"],
    "global_pool": ["avg", "max"],
}
TIMM_TOGETHER = [
    {"input_size": [3, 24, 40], "crop_pct": 0.8, "crop_mode": "squash"},
    {"input_size": [3, 24, 40], "crop_pct": 0.8, "crop_mode": "border"},
    {"input_size": [3, 24, 40], "crop_pct": 0.8, "interpolation": "bilinear"},
    {"input_size": [3, 24, 24], "crop_pct": 1.3, "crop_mode": "border"},
    {"input_size": [3, 24, 24], "crop_pct": 1.3, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
    {"input_size": [3, 64, 64], "test_input_size": [3, 96, 96], "test_crop_pct": 1.0},
]


class Refused(Exception):
    """Why an implementation gives no scores."""


def planforge_scores(program, folder, images, work, size=None):
    """A row of scores for each image."""
    pipeline = work / "model.toml"
    size = f"[export]\nimage_size = {list(size)}\n" if size else ""
    source = f'name = "model"\ntask = "image-classification"\n[source]\npath = "{folder}"\n'
    pipeline.write_text(f"{source}[[profiles]]\nbatch = [1, 2, 64]\n{size}")
    output = work / "out"
    shutil.rmtree(output, ignore_errors=True)
    command = [program, "infer", str(pipeline), "--output", str(output), "--json"]
    done = subprocess.run(command + [f"--image={path}" for path in images], capture_output=True, text=True)
    if done.returncode not in (0, 2):
        raise SystemExit(f"{folder}: {done.stderr}")
    if done.returncode:
        raise Refused(re.sub(r".*(config.json|/images)`?: ", "", done.stderr.strip().replace("\n", " ")))
    return torch.tensor(json.loads(done.stdout)["values"])


class OfTransformers:
    """A model of transformers, and what its pipeline does with an image file."""

    def __init__(self, model_type, folder):
        config_class = transformers.models.auto.configuration_auto.CONFIG_MAPPING[model_type]
        config = config_class(**SIZES[model_type], id2label={0: "a", 1: "b", 2: "c"}, architectures=[])
        self.folder = folder
        self.model = transformers.AutoModelForImageClassification.from_config(config).eval()
        randomise(self.model, torch.Generator().manual_seed(1))
        self.model.save_pretrained(folder)

    def scores(self, folder, images):
        processor = transformers.AutoImageProcessor.from_pretrained(folder)
        rows = []
        for path in images:
            image = transformers.image_utils.load_image(str(path))
            pixels = processor(images=image, return_tensors="pt")["pixel_values"]
            rows.append(self.model(pixel_values=pixels).logits[0])
        self.size = pixels.shape[-2:]
        return torch.stack(rows)


class OfTimm:
    """A model of timm, and its transform for evaluation."""

    def __init__(self, name, folder):
        architecture, arguments = TIMM[name]
        self.folder = folder
        model = timm.create_model(architecture, num_classes=3, **arguments)
        randomise(model, torch.Generator().manual_seed(1))
        save_timm(model, folder, {"num_classes": 3} | arguments, {"input_size": [3, 32, 32]})

    def scores(self, folder, images):
        model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
        return torch.stack([model(transform(Image.open(path).convert("RGB"))[None])[0] for path in images])


SIZES = {
    "resnet": dict(embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1]),
    "convnext": dict(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, image_size=32),
}
VIT = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, image_size=28, patch_size=4)
SIZES |= {"vit": VIT, "deit": VIT}


class Comparison:
    """Compares the two on one checkpoint after another, and keeps the count."""

    def __init__(self, program, work, images):
        self.program, self.work, self.images = program, work, images
        self.few = [path for path in images if path.name in FEW]
        self.square = [path for path in images if path.name == "rgb-64x64.png"]
        self.counts, self.compared, self.largest, self.wrong = collections.Counter(), 0, 0.0, False

    def compare(self, what, reference, folder, images):
        expected, failure = None, None
        try:
            with torch.no_grad():
                expected = reference.scores(folder, images)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"[:150]
        try:
            try:
                found = planforge_scores(self.program, folder, images, self.work)
            except Refused as error:
                # The size of what comes out depends on the image, and a graph takes one size.
                if "the image processor gives" not in str(error) or expected is None:
                    raise
                images = self.square
                with torch.no_grad():
                    expected = reference.scores(folder, images)
                found = planforge_scores(self.program, folder, images, self.work, reference.size)
        except Refused as error:
            return self.note("refused", what, error)
        if failure:
            return self.note("taken, though the reference fails", what, failure)
        self.judge(what, found, expected, images)

    def judge(self, what, found, expected, images):
        self.counts["checkpoints"] += 1
        self.compared += len(images)
        scale = expected.abs().max()
        if "unchanged" in what and (expected - expected.mean(0)).abs().max() < LEAST_SPREAD * scale:
            raise SystemExit(f"{what}: the scores do not depend on the images")
        is_same = found.shape == expected.shape
        rows = ((found - expected).abs().amax(1) / scale).tolist() if is_same else [float("inf")] * len(images)
        rows = sorted(zip(rows, (path.name for path in images)), reverse=True)
        self.largest = max(self.largest, rows[0][0])
        is_equal = rows[0][0] <= TOLERANCE
        self.wrong |= not is_equal
        verdict = "equal" if is_equal else "WRONG"
        shown = [f"{row:.1e} ({name})" for row, name in rows if row > TOLERANCE or name == rows[0][1]]
        print(f"{what}: {verdict}, {len(images)} images, off by {', '.join(shown)} of scale", flush=True)

    def note(self, kind, what, reason):
        self.counts[kind] += 1
        if os.environ.get("MUTATIONS_DETAILS"):
            print(f"{what}: {kind} | {reason}", flush=True)


def shrunk(value):
    """A size of an image processor divided by eight."""
    return {key: edge // 8 for key, edge in value.items()}


def with_files(folder, target, files):
    """A checkpoint with the same weights and further files."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ["config.json", "model.safetensors"]:
        os.link(folder / name, target / name)
    for name, content in files.items():
        (target / name).unlink(missing_ok=True)
        (target / name).write_text(json.dumps(content))
    return target


def variants(name, present, defaults):
    """What is changed, and the file with it."""
    if name not in OFTEN:
        yield from ((json.dumps(changes), present | changes) for changes in TOGETHER)
        return
    names = [*KEYS["image_processor_keys"], *(name for name in defaults if name not in KEYS["image_processor_keys"])]
    for key in names:
        for value in [*VALUES[key], None, LEFT_OUT] if key in VALUES else other_values(key, present.get(key)):
            changed = dict(present)
            set_key(key, value)(changed)
            yield f"{key} {'left out' if value is LEFT_OUT else json.dumps(value)}", changed
    for changes in [*({key: value} for key, value in FOREIGN.items() if key not in names), *TOGETHER]:
        yield json.dumps(changes), present | changes


def of_class(comparison, name, models):
    defaults = KEYS["image_processors"][name]
    sizes = {key: shrunk(defaults[key]) for key in ("size", "crop_size") if key in defaults}
    present = {"image_processor_type": name} | sizes
    target = comparison.work / "changed"

    def compare(what, model, files, images):
        comparison.compare(f"{name} {what}", models[model], with_files(models[model].folder, target, files), images)

    left_out = TRANSPARENT_COLOUR if defaults.get("do_convert_rgb") else []
    images = [path for path in comparison.images if path.name not in left_out]
    compare("unchanged", "resnet", {"preprocessor_config.json": present}, images)
    vit = present | ({"crop_size": 28} if "crop_size" in defaults else {"size": 28})
    compare("unchanged, for a ViT", "vit", {"preprocessor_config.json": vit}, images)
    for what, file in variants(name, present, defaults):
        compare(what, "resnet", {"preprocessor_config.json": file}, comparison.few)


def unnamed(comparison, model_type, reference):
    """Files that name no class, and the other places that a preparation is described in."""
    target = comparison.work / "changed"

    def compare(what, files):
        folder = with_files(reference.folder, target, files)
        comparison.compare(f"unnamed {model_type} {what}", reference, folder, comparison.few)

    file = {"size": 28, "crop_size": 28}
    compare("without a class", {"preprocessor_config.json": file})
    changed = {"size": 32, "crop_size": 28, "do_center_crop": True, "resample": 3}
    compare("changed", {"preprocessor_config.json": changed})
    other = {"image_processor_type": "ViTImageProcessor", "size": 20}
    nested = {"processor_class": "Own", "image_processor": file}
    compare("nested", {"processor_config.json": nested})
    compare("nested, next to another", {"processor_config.json": nested, "preprocessor_config.json": other})
    flat = {"processor_class": "Own"}
    compare("not nested", {"processor_config.json": flat, "preprocessor_config.json": file})
    config = json.loads((reference.folder / "config.json").read_text())
    config["image_processor_type"] = "CLIPImageProcessor"
    compare("class in config.json", {"config.json": config, "preprocessor_config.json": {"size": 30, "crop_size": 28}})
    compare("without values", {"preprocessor_config.json": {}})
    compare("without a file", {})


def of_timm(comparison, name):
    reference = OfTimm(name, comparison.work / "base")
    config = json.loads((reference.folder / "config.json").read_text())
    target = comparison.work / "changed"

    def compare(what, edited, images):
        comparison.compare(f"{name} {what}", reference, with_files(reference.folder, target, {"config.json": edited}), images)

    def flat(pretrained):
        return {key: config[key] for key in ["architecture", "model_args"]} | pretrained

    compare("unchanged", config, comparison.images)
    present = config["pretrained_cfg"]
    for key in [*KEYS["pretrained_cfg"], "unknown_key"]:
        for value in [*TIMM_VALUES[key], None, LEFT_OUT] if key in TIMM_VALUES else other_values(key, present.get(key)):
            changed = dict(present)
            set_key(key, value)(changed)
            what = f"{key} {'left out' if value is LEFT_OUT else json.dumps(value)}"
            compare(what, config | {"pretrained_cfg": changed}, comparison.few)
            if key in TIMM_VALUES:
                compare(f"flat {what}", flat(changed), comparison.few)
    for changes in TIMM_TOGETHER:
        compare(json.dumps(changes), config | {"pretrained_cfg": present | changes}, comparison.few)


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    program, *names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "images").mkdir()
        comparison = Comparison(str(Path(program).resolve()), work, save_images(work / "images"))
        models = {name: OfTransformers(name, work / name) for name in SIZES}
        for name in names or ["unnamed", *KEYS["image_processors"], *TIMM]:
            if name in TIMM:
                shutil.rmtree(work / "base", ignore_errors=True)
                of_timm(comparison, name)
            elif name == "unnamed":
                for model_type, reference in models.items():
                    unnamed(comparison, model_type, reference)
            else:
                of_class(comparison, name, models)
    counts = ", ".join(f"{count} {kind}" for kind, count in comparison.counts.items())
    print(f"{counts}; {comparison.compared} images, off by at most {comparison.largest:.1e} of scale")
    sys.exit(4 if comparison.wrong else 0)


if __name__ == "__main__":
    main()
