#!/usr/bin/env python3
"""Makes checkpoints of full size with seeded random weights, with nothing but Python's standard library.

    python3 scripts/reference/random-checkpoint.py --list
    python3 scripts/reference/random-checkpoint.py FOLDER NAME...

FOLDER/NAME gets the checkpoint as a repository on the Hub has it: config.json, model.safetensors and, for texts,
tokenizer_config.json and a tokenizer.json that knows five words. full-models.py makes the like with timm and transformers, and what they compute.
"""

import array
import json
import math
import random
import sys
from pathlib import Path

# Numbers that weights are cut from; a prime, so that tensors of powers of two do not repeat each other.
BLOCK = 1_000_003


def linear(name, rows, columns):
    return [(f"{name}.weight", [rows, columns]), (f"{name}.bias", [rows])]


def norm(name, width):
    return [(f"{name}.weight", [width]), (f"{name}.bias", [width])]


def convolution(name, outputs, inputs, edge, bias=True):
    return [(f"{name}.weight", [outputs, inputs, edge, edge])] + ([(f"{name}.bias", [outputs])] if bias else [])


def batch_norm(name, width):
    return norm(name, width) + [(f"{name}.running_mean", [width]), (f"{name}.running_var", [width])]


def encoder(config):
    """BERT and RoBERTa without a head, as transformers names them."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    rows = {"word": "vocab_size", "position": "max_position_embeddings", "token_type": "type_vocab_size"}
    tensors = [(f"embeddings.{name}_embeddings.weight", [config[key], width]) for name, key in rows.items()]
    tensors += norm("embeddings.LayerNorm", width)
    for layer in range(config["num_hidden_layers"]):
        scope = f"encoder.layer.{layer}"
        for part in ["self.query", "self.key", "self.value", "output.dense"]:
            tensors += linear(f"{scope}.attention.{part}", width, width)
        tensors += norm(f"{scope}.attention.output.LayerNorm", width)
        tensors += linear(f"{scope}.intermediate.dense", inner, width) + linear(f"{scope}.output.dense", width, inner)
        tensors += norm(f"{scope}.output.LayerNorm", width)
    return tensors + linear("pooler.dense", width, width)


def resnet50():
    tensors = convolution("conv1", 64, 3, 7, bias=False) + batch_norm("bn1", 64)
    inputs = 64
    for layer, (blocks, width) in enumerate(zip([3, 4, 6, 3], [64, 128, 256, 512]), 1):
        for block in range(blocks):
            scope = f"layer{layer}.{block}"
            sizes = [(width, inputs, 1), (width, width, 3), (4 * width, width, 1)]
            for number, (outputs, before, edge) in enumerate(sizes, 1):
                tensors += convolution(f"{scope}.conv{number}", outputs, before, edge, bias=False)
                tensors += batch_norm(f"{scope}.bn{number}", outputs)
            if block == 0:
                tensors += convolution(f"{scope}.downsample.0", 4 * width, inputs, 1, bias=False)
                tensors += batch_norm(f"{scope}.downsample.1", 4 * width)
            inputs = 4 * width
    return tensors + linear("fc", 1000, 2048)


def convnext_base():
    widths = [128, 256, 512, 1024]
    tensors = convolution("stem.0", widths[0], 3, 4) + norm("stem.1", widths[0])
    for stage, (blocks, width) in enumerate(zip([3, 3, 27, 3], widths)):
        scope = f"stages.{stage}"
        if stage > 0:
            tensors += norm(f"{scope}.downsample.0", widths[stage - 1])
            tensors += convolution(f"{scope}.downsample.1", width, widths[stage - 1], 2)
        for block in range(blocks):
            inner = f"{scope}.blocks.{block}"
            tensors += [(f"{inner}.gamma", [width])] + convolution(f"{inner}.conv_dw", width, 1, 7)
            tensors += norm(f"{inner}.norm", width)
            tensors += linear(f"{inner}.mlp.fc1", 4 * width, width) + linear(f"{inner}.mlp.fc2", width, 4 * width)
    return tensors + norm("head.norm", widths[-1]) + linear("head.fc", 1000, widths[-1])


def vit_large():
    width = 1024
    tensors = [("cls_token", [1, 1, width]), ("pos_embed", [1, 197, width])]
    tensors += convolution("patch_embed.proj", width, 3, 16)
    for block in range(24):
        scope = f"blocks.{block}"
        tensors += norm(f"{scope}.norm1", width) + linear(f"{scope}.attn.qkv", 3 * width, width)
        tensors += linear(f"{scope}.attn.proj", width, width) + norm(f"{scope}.norm2", width)
        tensors += linear(f"{scope}.mlp.fc1", 4 * width, width) + linear(f"{scope}.mlp.fc2", width, 4 * width)
    return tensors + norm("norm", width) + linear("head", 1000, width)


def timm(architecture, tag):
    pretrained = dict(tag=tag, input_size=[3, 224, 224], interpolation="bicubic", crop_pct=0.95, crop_mode="center")
    pretrained |= dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    pool = "token" if architecture.startswith("vit") else "avg"
    return dict(architecture=architecture, num_classes=1000, global_pool=pool, pretrained_cfg=pretrained)


def transformers(model_type, vocabulary, positions, types, padding, size):
    names = ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"]
    config = dict(model_type=model_type, vocab_size=vocabulary, max_position_embeddings=positions)
    config |= dict(type_vocab_size=types, pad_token_id=padding, hidden_act="gelu", layer_norm_eps=1e-5)
    return config | dict(zip(names, size))


BERT = transformers("bert", 30522, 512, 2, 0, [768, 12, 12, 3072])
ROBERTA = transformers("roberta", 50265, 514, 1, 1, [1024, 24, 16, 4096])
MODELS = {
    "resnet50": (timm("resnet50", "a1_in1k"), resnet50),
    "convnext_base": (timm("convnext_base", "fb_in22k_ft_in1k"), convnext_base),
    "vit_large_patch16_224": (timm("vit_large_patch16_224", "augreg_in21k_ft_in1k"), vit_large),
    "bert-base-uncased": (BERT, lambda: encoder(BERT)),
    "roberta-large": (ROBERTA, lambda: encoder(ROBERTA)),
}


def scale(name, shape):
    """Centre and width of a tensor's values, so that activations neither vanish nor grow with depth."""
    if name.endswith("running_var"):
        return 1.0, 0.05
    if name.endswith("gamma"):
        return 0.3, 0.03
    if len(shape) == 1 and name.endswith("weight"):
        return (0.5 if name.endswith("bn3.weight") else 1.0), 0.1
    if len(shape) >= 2 and "embed" not in name.replace("patch_embed", ""):
        return 0.0, 1 / math.sqrt(math.prod(shape[1:]))
    return 0.0, 0.1


class Numbers:
    """Normally distributed numbers, as bytes: one block of them, cut at places that differ."""

    def __init__(self, seed):
        self.generator = random.Random(seed)
        self.block = [self.generator.gauss(0, 1) for _ in range(BLOCK)]
        self.scaled = {}

    def take(self, count, centre, width):
        if (centre, width) not in self.scaled:
            self.scaled[centre, width] = array.array("f", (centre + width * value for value in self.block)).tobytes()
        block, start = self.scaled[centre, width], 4 * self.generator.randrange(BLOCK)
        while count > 0:
            cut = block[start : start + 4 * count]
            yield cut
            count, start = count - len(cut) // 4, 0


def write_weights(path, tensors, numbers):
    header, offset = {}, 0
    for name, shape in tensors:
        end = offset + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors:
            file.writelines(numbers.take(math.prod(shape), *scale(name, shape)))


def tokenizer(padding):
    words = ["[PAD]", "[UNK]"] if padding == 0 else ["[UNK]", "[PAD]"]
    words += ["a", "the", "sample"]
    pad = dict(strategy="BatchLongest", direction="Right", pad_to_multiple_of=None, pad_type_id=0, pad_token="[PAD]")
    return dict(
        version="1.0", truncation=None, padding=pad | dict(pad_id=padding), added_tokens=[], normalizer=None,
        pre_tokenizer=dict(type="Whitespace"), post_processor=None, decoder=None,
        model=dict(type="WordLevel", vocab={word: number for number, word in enumerate(words)}, unk_token="[UNK]"),
    )  # fmt: skip


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(MODELS))
        return
    if len(sys.argv) < 3 or any(name not in MODELS for name in sys.argv[2:]):
        sys.exit(f"{__doc__}\nNAME is one of {', '.join(MODELS)}")
    for name in sys.argv[2:]:
        folder = Path(sys.argv[1]) / name
        config, tensors = MODELS[name]
        if (folder / "config.json").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(folder / "model.safetensors", tensors(), Numbers(name))
        if "model_type" in config:
            (folder / "tokenizer.json").write_text(json.dumps(tokenizer(config["pad_token_id"])), encoding="utf-8")
            # Of no class, so that the file is used as it is.
            settings = json.dumps(dict(tokenizer_class="PreTrainedTokenizerFast"))
            (folder / "tokenizer_config.json").write_text(settings, encoding="utf-8")
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
