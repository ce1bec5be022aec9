#!/usr/bin/env python3
"""Makes the checkpoints of fixtures/models/keys, whose configurations leave keys out, name them otherwise, or have rare
values, and what transformers and timm compute with them.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/tiny-keys.py

The outputs are those of the checkpoint as it lies there, loaded by the reference. Weights are drawn as reference.py
says; case.toml is written by hand.
"""

import json
from pathlib import Path

import timm
import torch
import transformers
from reference import image_batch, randomise, save_timm, text_batch, values

TARGET = Path(__file__).parents[2] / "fixtures/models/keys"
VOCABULARY = 40
BERT = dict(vocab_size=VOCABULARY, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12)
BERT |= dict(max_position_embeddings=14)
DISTILBERT = dict(vocab_size=VOCABULARY, dim=8, n_layers=1, n_heads=2, hidden_dim=12, max_position_embeddings=14)


def left_out(config):
    """As the first configurations were written: nothing but sizes."""
    return {key: config[key] for key in [*BERT, "model_type"] if key in config}


def other_names(config):
    """The names that other models have for the same keys."""
    names = {"dim": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers"}
    return {names.get(key, key): value for key, value in config.items()}


def text_models():
    """Name, model, and what becomes of its configuration."""
    yield "bert-left-out", transformers.BertModel(transformers.BertConfig(**BERT)), left_out
    xlm = transformers.XLMRobertaConfig(**BERT)
    yield "xlm-roberta-left-out", transformers.XLMRobertaModel(xlm), left_out
    silu = transformers.BertConfig(**BERT, hidden_act="silu")
    yield "bert-silu", transformers.BertModel(silu, add_pooling_layer=False), dict
    distilbert = transformers.DistilBertConfig(**DISTILBERT, activation="quick_gelu")
    yield "distilbert-other-names", transformers.DistilBertModel(distilbert), other_names


def save_record(folder, inputs, outputs):
    record = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "timm": timm.__version__},
        "inputs": {name: values(tensor) for name, tensor in inputs.items()},
        "outputs": {name: values(tensor) for name, tensor in outputs.items()},
    }
    (folder / "expected.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(folder)


def rewrite(folder, edit):
    path = folder / "config.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text())), indent=2) + "\n", encoding="utf-8")


def flat(config):
    """As timm wrote configurations before 2023."""
    return {"architecture": config["architecture"], "model_args": config["model_args"], **config["pretrained_cfg"]}


def main():
    for seed, (name, model, edit) in enumerate(text_models(), start=500):
        folder = TARGET / name
        generator = torch.Generator().manual_seed(seed)
        randomise(model.eval(), generator)
        model.save_pretrained(folder)
        rewrite(folder, edit)
        inputs = text_batch(model.config.pad_token_id, VOCABULARY, generator)
        if getattr(model.config, "type_vocab_size", 0) < 2:
            del inputs["token_type_ids"]
        loaded = transformers.AutoModel.from_pretrained(folder).eval()
        with torch.no_grad():
            found = loaded(**inputs)
        outputs = {"last_hidden_state": found.last_hidden_state}
        if name.endswith("left-out"):
            outputs["pooler_output"] = found.pooler_output
        save_record(folder, inputs, outputs)
    folder = TARGET / "timm-flat"
    generator = torch.Generator().manual_seed(600)
    arguments = dict(layers=[1, 1, 1, 1], channels=[4, 4, 4, 4])
    model = timm.create_model("resnet18", num_classes=3, **arguments)
    randomise(model.eval(), generator)
    save_timm(model, folder, arguments, {"input_size": [3, 16, 24], "num_classes": 3})
    rewrite(folder, flat)
    images = image_batch(24, generator)[:, :, :16]
    with torch.no_grad():
        save_record(folder, {"INPUT__0": images}, {"OUTPUT__0": model(images)})


if __name__ == "__main__":
    main()
