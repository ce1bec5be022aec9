#!/usr/bin/env python3
"""Makes the checkpoints of fixtures/models and what transformers computes with them.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/tiny-models.py

Each folder has config.json and model.safetensors as `save_pretrained` writes them (one of them under the names of
the first TensorFlow checkpoints, and one in shards), and expected.json with a padded batch and its outputs, in
fp32 on the CPU. Weights, biases and LayerNorm parameters are drawn from a seeded generator, all of them different
from their initial values, so that a tensor that is left out or swapped shows.
"""

import json
import shutil
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

TARGET = Path(__file__).parents[2] / "fixtures/models"
VOCABULARY = 40
LENGTHS = [9, 5, 1]

SHARED = {"vocab_size": VOCABULARY, "attn_implementation": "eager"}
BERT = dict(
    SHARED,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
    max_position_embeddings=26,
)
DISTILBERT = dict(
    SHARED, dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=24
)
LABELS = {0: "bad", 1: "so so", 2: "good"}


def models():
    """Name, model, and the options of save_pretrained."""
    bert = transformers.BertConfig(**BERT)
    yield "bert", transformers.BertModel(bert), {}
    labelled = transformers.BertConfig(**BERT, id2label=LABELS, hidden_act="gelu_new")
    yield "bert-classifier", transformers.BertForSequenceClassification(labelled), {}
    roberta = transformers.RobertaConfig(**BERT, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1)
    yield "roberta", transformers.RobertaModel(roberta), {"max_shard_size": "8KB"}
    xlm = transformers.XLMRobertaConfig(**BERT, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, id2label=LABELS)
    yield "xlm-roberta-classifier", transformers.XLMRobertaForSequenceClassification(xlm), {}
    yield "distilbert", transformers.DistilBertModel(transformers.DistilBertConfig(**DISTILBERT)), {}
    entities = transformers.DistilBertConfig(**DISTILBERT, id2label=LABELS)
    yield "distilbert-tokens", transformers.DistilBertForTokenClassification(entities), {}
    entities = transformers.BertConfig(**BERT, id2label=LABELS)
    yield "bert-tokens", transformers.BertForTokenClassification(entities), {}
    two_labels = transformers.DistilBertConfig(**DISTILBERT, activation="relu")
    yield "distilbert-classifier", transformers.DistilBertForSequenceClassification(two_labels), {}


def randomise(model, generator):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.copy_(centre + 0.3 * torch.randn(parameter.shape, generator=generator))


def batch(padding, generator):
    """Ids, mask and segments of texts of different lengths."""
    longest = max(LENGTHS)
    ids = torch.randint(5, VOCABULARY, (len(LENGTHS), longest), generator=generator)
    mask = torch.tensor([[1] * length + [0] * (longest - length) for length in LENGTHS])
    segments = torch.tensor([[int(2 * place >= length) for place in range(longest)] for length in LENGTHS])
    return {"input_ids": torch.where(mask == 1, ids, padding), "attention_mask": mask, "token_type_ids": segments * mask}


def values(tensor):
    return {"shape": list(tensor.shape), "values": [float(f"{value:.9g}") for value in tensor.flatten().tolist()]}


def expected(model, inputs):
    takes_segments = getattr(model.config, "type_vocab_size", 0) > 1
    given = {name: tensor for name, tensor in inputs.items() if takes_segments or name != "token_type_ids"}
    with torch.no_grad():
        output = model(**given, output_hidden_states=True)
    outputs = {"last_hidden_state": output.hidden_states[-1]}
    if getattr(output, "pooler_output", None) is not None:
        outputs["pooler_output"] = output.pooler_output
    if "logits" in output:
        outputs["logits"] = output.logits
    record = {"transformers": transformers.__version__, "batch": len(LENGTHS), "sequence": max(LENGTHS)}
    record["inputs"] = {name: tensor.flatten().tolist() for name, tensor in given.items()}
    record["outputs"] = {name: values(tensor) for name, tensor in outputs.items()}
    return record


def use_old_names(folder):
    """`gamma` and `beta`, as the first BERT checkpoints have them."""
    path = folder / "model.safetensors"
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(path).items()
    }
    save_file(renamed, path, metadata={"format": "pt"})


def main():
    shutil.rmtree(TARGET, ignore_errors=True)
    for seed, (name, model, options) in enumerate(models()):
        generator = torch.Generator().manual_seed(seed)
        model.eval()
        randomise(model, generator)
        folder = TARGET / name
        record = expected(model, batch(model.config.pad_token_id, generator))
        model.save_pretrained(folder, **options)
        if name == "bert-classifier":
            use_old_names(folder)
        (folder / "expected.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
        print(folder)


if __name__ == "__main__":
    main()
