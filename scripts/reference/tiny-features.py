#!/usr/bin/env python3
"""Makes the checkpoints of fixtures/models/features and what timm and transformers compute with them: the last hidden
state of images, and the vector that a head would be given.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/tiny-features.py

Weights are drawn as reference.py says; case.toml is written by hand.
"""

import json
from pathlib import Path

import timm
import torch
import transformers
from reference import image_batch, randomise, save_timm, values

TARGET = Path(__file__).parents[2] / "fixtures/models/features"
EDGE = 16
VIT = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, patch_size=8, image_size=EDGE)
CONVNEXT = dict(hidden_sizes=[4, 8], depths=[1, 1], num_stages=2, image_size=EDGE)
RESNET = dict(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
TIMM_VIT = dict(embed_dim=8, depth=1, num_heads=2, patch_size=8, img_size=EDGE)


def transformers_models():
    """Name and model. The second Vision Transformer has wider heads than its width gives, a pooler of its own width
    and activation, and images that are no squares."""
    yield "vit", transformers.ViTModel(transformers.ViTConfig(**VIT), add_pooling_layer=False)
    pooled = VIT | dict(image_size=[8, EDGE], head_dim=6, pooler_output_size=6, pooler_act="silu", hidden_act="quick_gelu")
    yield "vit-pooled", transformers.ViTModel(transformers.ViTConfig(**pooled))
    yield "deit", transformers.DeiTModel(transformers.DeiTConfig(**VIT))
    yield "resnet", transformers.ResNetModel(transformers.ResNetConfig(**RESNET, hidden_act="silu"))
    yield "convnext", transformers.ConvNextModel(transformers.ConvNextConfig(**CONVNEXT, layer_scale_init_value=0.0))


def timm_models():
    """Name, timm's name, arguments, number of classes, and edge of images: a head is not used."""
    yield "timm-vit", "vit_tiny_patch16_224", TIMM_VIT, 0, EDGE
    yield "timm-deit-distilled", "deit_tiny_distilled_patch16_224", TIMM_VIT, 2, EDGE
    yield "timm-resnet", "resnet18", dict(layers=[1, 1, 1, 1], channels=[4, 4, 4, 4]), 0, EDGE
    yield "timm-convnext", "convnext_tiny", dict(depths=[1, 1, 1, 1], dims=[4, 4, 8, 8]), 2, 2 * EDGE


def write(folder, images, hidden, pooled):
    outputs = {"last_hidden_state": hidden} | ({} if pooled is None else {"pooler_output": pooled.flatten(1)})
    record = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "timm": timm.__version__},
        "inputs": {"INPUT__0": values(images)},
        "outputs": {name: values(tensor) for name, tensor in outputs.items()},
    }
    (folder / "expected.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(folder)


def main():
    for seed, (name, model) in enumerate(transformers_models(), start=300):
        generator = torch.Generator().manual_seed(seed)
        randomise(model.eval(), generator)
        model.save_pretrained(TARGET / name)
        images = image_batch(EDGE, generator)[:, :, : model.config.image_size[0] if name == "vit-pooled" else EDGE]
        with torch.no_grad():
            found = model(images)
        write(TARGET / name, images, found.last_hidden_state, found.pooler_output if "pooler_output" in found else None)
    for seed, (name, timm_name, arguments, classes, edge) in enumerate(timm_models(), start=400):
        generator = torch.Generator().manual_seed(seed)
        model = timm.create_model(timm_name, num_classes=classes, **arguments)
        randomise(model.eval(), generator)
        save_timm(model, TARGET / name, arguments, {"input_size": [3, edge, edge]})
        images = image_batch(edge, generator, count=1 if edge > EDGE else 2)
        with torch.no_grad():
            hidden = model.forward_features(images)
            write(TARGET / name, images, hidden, model.forward_head(hidden, pre_logits=True))


if __name__ == "__main__":
    main()
