#!/usr/bin/env python3
"""Makes checkpoints of full size with random weights, as their repositories on the Hub have them.

    scripts/reference/random-checkpoints.py --list
    scripts/reference/random-checkpoints.py NAME FOLDER

FOLDER gets config.json, model.safetensors and, for models over text, a tokenizer.json with the vocabulary's size.
Needs nothing but Python: the numbers of one seeded block of a million are used again and again, each time from another
place on. That is enough to build engines from and to measure them; scripts/reference/full-models.py makes checkpoints
whose outputs mean something.
"""
import array
import json
import math
import random
import struct
import sys
from pathlib import Path

BLOCK = 1 << 20
BATCH_NORM = ["weight", "bias", "running_mean", "running_var"]


def affine(name, *shape):
    """Weight and bias of a convolution, a linear layer or a normalisation."""
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def batch_norm(name, channels):
    for part in BATCH_NORM:
        yield f"{name}.{part}", (channels,)


def resnet50():
    yield "conv1.weight", (64, 3, 7, 7)
    yield from batch_norm("bn1", 64)
    inputs = 64
    for stage, (width, depth) in enumerate(zip([64, 128, 256, 512], [3, 4, 6, 3]), 1):
        for number in range(depth):
            block = f"layer{stage}.{number}"
            shapes = [(width, inputs, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            for place, shape in enumerate(shapes, 1):
                yield f"{block}.conv{place}.weight", shape
                yield from batch_norm(f"{block}.bn{place}", shape[0])
            if number == 0:
                yield f"{block}.downsample.0.weight", (4 * width, inputs, 1, 1)
                yield from batch_norm(f"{block}.downsample.1", 4 * width)
            inputs = 4 * width
    yield from affine("fc", 1000, inputs)


def convnext_base():
    widths = [128, 256, 512, 1024]
    yield from affine("stem.0", widths[0], 3, 4, 4)
    yield from affine("stem.1", widths[0])
    for stage, (width, depth) in enumerate(zip(widths, [3, 3, 27, 3])):
        if stage > 0:
            yield from affine(f"stages.{stage}.downsample.0", widths[stage - 1])
            yield from affine(f"stages.{stage}.downsample.1", width, widths[stage - 1], 2, 2)
        for number in range(depth):
            block = f"stages.{stage}.blocks.{number}"
            yield f"{block}.gamma", (width,)
            yield from affine(f"{block}.conv_dw", width, 1, 7, 7)
            yield from affine(f"{block}.norm", width)
            yield from affine(f"{block}.mlp.fc1", 4 * width, width)
            yield from affine(f"{block}.mlp.fc2", width, 4 * width)
    yield from affine("head.norm", widths[-1])
    yield from affine("head.fc", 1000, widths[-1])


def vit_large():
    yield "cls_token", (1, 1, 1024)
    yield "pos_embed", (1, 197, 1024)
    yield from affine("patch_embed.proj", 1024, 3, 16, 16)
    for number in range(24):
        block = f"blocks.{number}"
        yield from affine(f"{block}.norm1", 1024)
        yield from affine(f"{block}.attn.qkv", 3072, 1024)
        yield from affine(f"{block}.attn.proj", 1024, 1024)
        yield from affine(f"{block}.norm2", 1024)
        yield from affine(f"{block}.mlp.fc1", 4096, 1024)
        yield from affine(f"{block}.mlp.fc2", 1024, 4096)
    yield from affine("norm", 1024)
    yield from affine("head", 1000, 1024)


def encoder(config):
    width, inner = config["hidden_size"], config["intermediate_size"]
    for table, rows in [("word", "vocab_size"), ("position", "max_position_embeddings"), ("token_type", "type_vocab_size")]:
        yield f"embeddings.{table}_embeddings.weight", (config[rows], width)
    yield from affine("embeddings.LayerNorm", width)
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        for part in ["self.query", "self.key", "self.value", "output.dense"]:
            yield from affine(f"{layer}.attention.{part}", width, width)
        yield from affine(f"{layer}.attention.output.LayerNorm", width)
        yield from affine(f"{layer}.intermediate.dense", inner, width)
        yield from affine(f"{layer}.output.dense", width, inner)
        yield from affine(f"{layer}.output.LayerNorm", width)
    yield from affine("pooler.dense", width, width)


def text_config(kind, layers, width, heads, **keys):
    return {
        "model_type": kind,
        "architectures": [{"bert": "BertModel", "roberta": "RobertaModel"}[kind]],
        "hidden_act": "gelu",
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        **keys,
    }


BERT = text_config(
    "bert", 12, 768, 12, vocab_size=30522, max_position_embeddings=512, type_vocab_size=2, layer_norm_eps=1e-12, pad_token_id=0
)
ROBERTA = text_config(
    "roberta", 24, 1024, 16, vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1
)


def timm_config(name):
    return {"architecture": name, "num_classes": 1000, "pretrained_cfg": {"input_size": [3, 224, 224]}}


MODELS = {
    "bert-base-uncased": (BERT, lambda: encoder(BERT)),
    "roberta-large": (ROBERTA, lambda: encoder(ROBERTA)),
    "resnet50": (timm_config("resnet50"), resnet50),
    "convnext_base": (timm_config("convnext_base"), convnext_base),
    "vit_large_patch16_224": (timm_config("vit_large_patch16_224"), vit_large),
}


def tokenizer(config):
    """One word for each row of the table of words."""
    padding = config["pad_token_id"]
    words = {f"word{number}": number for number in range(config["vocab_size"])}
    first = f"word{padding}"
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": first},
    }


def values(name, shape, block, place):
    """Bytes of a tensor: near one where it scales, positive where it is a variance, else small."""
    count = math.prod(shape)
    if len(shape) == 1 and name.endswith((".weight", ".running_var", ".gamma")):
        part = array.array("f", (1 + value for value in block[:count]))
        return part.tobytes()
    place %= BLOCK
    rotated = (block[place:] + block[:place]).tobytes()
    whole, rest = divmod(count * 4, len(rotated))
    return rotated * whole + rotated[:rest]


def write(tensors, path, seed):
    generator = random.Random(seed)
    block = array.array("f", (generator.gauss(0, 0.02) for _ in range(BLOCK)))
    header, offset = {}, 0
    for name, shape in tensors:
        end = offset + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for number, (name, shape) in enumerate(tensors):
            file.write(values(name, shape, block, number * 7919))


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(MODELS))
        return
    if len(sys.argv) != 3 or sys.argv[1] not in MODELS:
        sys.exit(__doc__)
    name, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    config, shapes = MODELS[name]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if "vocab_size" in config:
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer(config)) + "\n", encoding="utf-8")
    write(list(shapes()), folder / "model.safetensors", name)


if __name__ == "__main__":
    main()
