#!/usr/bin/env python3
"""Makes fixtures/images: two images, and what timm's and transformers' preprocessing makes of them.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/images.py

Each folder has the files of a repository that say how images are prepared, and expected.json with the values that
the reference computes for wide.png and tall.jpg; transformers reads them as its pipelines do. case.toml is written by
hand. The camera of tall.jpg in `turned` was turned by a quarter.
"""

import json
import math
from pathlib import Path

import timm
import torch
import transformers
from PIL import Image
from timm.data import create_transform

TARGET = Path(__file__).parents[2] / "fixtures/images"
EDGE = 24
SMALL = 12


def draw(width, height):
    """Coloured waves with sharp edges."""
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            wave = 100 * math.sin(x * 0.35) + 80 * math.cos(y * 0.5)
            edge = 90 if (x // 7 + y // 5) % 2 else 0
            image.putpixel((x, y), tuple(max(0, min(255, int(128 + wave + edge * k - 45))) for k in (1, -1, 0)))
    return image


def timm_cases():
    base = dict(input_size=[3, EDGE, EDGE], mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    yield "timm-center", dict(base, interpolation="bicubic", crop_pct=0.9, crop_mode="center")
    yield "timm-squash", dict(base, interpolation="bilinear", crop_pct=1.0, crop_mode="squash")
    small = dict(base, input_size=[3, SMALL, SMALL])
    yield "timm-border", dict(small, interpolation="lanczos", crop_pct=0.9, crop_mode="border")
    yield "timm-nearest", dict(small, interpolation="nearest", crop_pct=1.25, crop_mode="center")
    yield "timm-oblong", dict(base, input_size=[3, SMALL, 9], interpolation="bicubic", crop_pct=0.8, crop_mode="center")


def transformers_cases():
    size = {"height": EDGE, "width": EDGE}
    yield "vit", transformers.ViTImageProcessor(size=size)
    yield "deit", transformers.DeiTImageProcessor(size={"height": 28, "width": 28}, crop_size=size)
    yield "convnext", transformers.ConvNextImageProcessor(size={"shortest_edge": EDGE}, crop_pct=0.875)


def written_cases():
    """Name, `model_type`, and the file as people and older releases wrote it."""
    yield "clip-number", "vit", {"feature_extractor_type": "CLIPFeatureExtractor", "size": SMALL, "crop_size": SMALL}
    yield "vit-number", "vit", {"feature_extractor_type": "ViTFeatureExtractor", "size": SMALL, "image_mean": 0.4}
    yield "no-class", "deit", {"size": 14, "crop_size": SMALL, "do_rescale": False, "resample": 0}
    two_edges = {"shortest_edge": 14, "longest_edge": 16}
    yield "two-edges", "vit", {
        "image_processor_type": "ViTImageProcessorFast", "size": two_edges, "do_center_crop": True, "crop_size": [10, 13],
    }
    yield "turned", "resnet", {"size": {"shortest_edge": SMALL}, "do_normalize": False, "resample": 1}


def values(tensor):
    return [float(f"{value:.5g}") for value in tensor.flatten().tolist()]


def main():
    TARGET.mkdir(parents=True, exist_ok=True)
    draw(61, 40).save(TARGET / "wide.png")
    draw(37, 58).save(TARGET / "tall.jpg", quality=90)
    images = [Image.open(TARGET / name).convert("RGB") for name in ["wide.png", "tall.jpg"]]
    for name, config in timm_cases():
        transform = create_transform(
            input_size=tuple(config["input_size"]),
            interpolation=config["interpolation"],
            crop_pct=config["crop_pct"],
            crop_mode=config["crop_mode"],
            mean=config["mean"],
            std=config["std"],
        )
        found = torch.stack([transform(image) for image in images])
        write(name, found, {"config.json": {"architecture": "resnet50", "num_classes": 2, "pretrained_cfg": config}})
    turned = Image.Exif()
    turned[0x0112] = 6
    (TARGET / "turned").mkdir(exist_ok=True)
    draw(37, 58).save(TARGET / "turned/tall.jpg", quality=90, exif=turned)
    for name, model_type, config in written_cases():
        files = {"config.json": {"model_type": model_type}, "preprocessor_config.json": config}
        own = [TARGET / "wide.png", TARGET / "turned/tall.jpg" if name == "turned" else TARGET / "tall.jpg"]
        write(name, None, files)
        processor = transformers.AutoImageProcessor.from_pretrained(TARGET / name)
        loaded = [transformers.image_utils.load_image(str(path)) for path in own]
        write(name, processor(loaded, return_tensors="pt")["pixel_values"], files)
    for name, processor in transformers_cases():
        found = processor(images, return_tensors="pt")["pixel_values"]
        config = json.loads(processor.to_json_string())
        write(name, found, {"config.json": {"model_type": name}, "preprocessor_config.json": config})


def write(name, found, files):
    folder = TARGET / name
    folder.mkdir(exist_ok=True)
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if found is None:
        return
    versions = {"timm": timm.__version__, "transformers": transformers.__version__}
    record = {"versions": versions, "shape": list(found.shape), "values": values(found)}
    (folder / "expected.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(folder)


if __name__ == "__main__":
    main()
