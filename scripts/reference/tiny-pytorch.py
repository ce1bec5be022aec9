#!/usr/bin/env python3
"""Makes the checkpoints of fixtures/pytorch, which have no safetensors, and what transformers computes with them.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/tiny-pytorch.py

Each folder has config.json, the weights as transformers saved them with `torch.save` before safetensors, and
expected.json as in fixtures/models. Models, weights and batches are those of tiny-models.py:

- bert: one file under the names of the first TensorFlow checkpoints, the word embeddings stored once and named twice,
  and two matrices that are parts of one storage;
- roberta: three shards and their index;
- distilbert: matrices in bfloat16, all else in half precision, inside a dictionary with other values, by the newer
  pickle protocol 4. What is expected is computed in fp32 from the rounded weights;
- before-1.6: as PyTorch before 1.6 wrote files, matrices in double precision and turned over in memory. Such files name
  storages by their address: the script makes other bytes each time;
- refused: a file that must not be read, since it would run a command in Python.
"""

import importlib.util
import json
import os
from pathlib import Path

import torch
import transformers
from reference import randomise, text_batch

SCRIPTS = Path(__file__).parent
TARGET = SCRIPTS.parents[1] / "fixtures/pytorch"
SHARD_BYTES = 8 << 10

specification = importlib.util.spec_from_file_location("tiny_models", SCRIPTS / "tiny-models.py")
tiny = importlib.util.module_from_spec(specification)
specification.loader.exec_module(tiny)


def bert():
    return transformers.BertModel(transformers.BertConfig(**tiny.BERT))


def roberta():
    config = transformers.RobertaConfig(**tiny.ROBERTA)
    return transformers.RobertaModel(config)


def distilbert():
    return transformers.DistilBertModel(transformers.DistilBertConfig(**tiny.DISTILBERT))


def save_bert(model, folder):
    """As the first conversions from TensorFlow: with the head that repeats the embeddings."""
    state = {}
    for name, tensor in model.state_dict().items():
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        state[f"bert.{old}"] = tensor
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
    attention = "bert.encoder.layer.0.attention.self"
    both = torch.cat([state[f"{attention}.query.weight"], state[f"{attention}.key.weight"]])
    state[f"{attention}.query.weight"], state[f"{attention}.key.weight"] = both.chunk(2)
    torch.save(state, folder / "pytorch_model.bin")


def save_shards(model, folder):
    """As `save_pretrained` did with `max_shard_size`."""
    shards, size = [{}], 0
    for name, tensor in model.state_dict().items():
        if size + tensor.nbytes > SHARD_BYTES and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"pytorch_model-{number:05}-of-{len(shards):05}.bin"
        # A shard has its own storages: what is saved of a view is all of its storage.
        torch.save({name: tensor.clone() for name, tensor in shard.items()}, folder / file)
        weight_map |= dict.fromkeys(shard, file)
    total = sum(tensor.nbytes for tensor in model.state_dict().values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def half_type(tensor):
    return torch.bfloat16 if tensor.dim() == 2 else torch.float16


def save_halves(model, folder):
    """As training scripts do: the state dict beside other values."""
    state = {name: torch.nn.Parameter(tensor.to(half_type(tensor))) for name, tensor in model.state_dict().items()}
    checkpoint = {"epoch": 3, "loss": 0.25, "betas": (0.9, 0.999), "dtype": torch.float16, "state_dict": state}
    torch.save(checkpoint, folder / "pytorch_model.bin", pickle_protocol=4)


def save_legacy(model, folder):
    turned = {name: tensor.double().t().contiguous().t() for name, tensor in model.state_dict().items() if tensor.dim() == 2}
    state = model.state_dict() | turned
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


class Command:
    """What Python runs when it reads a pickle."""

    def __reduce__(self):
        return os.system, ("touch owned",)


def save_refused(folder):
    folder.mkdir(parents=True, exist_ok=True)
    weight = torch.arange(6.0).reshape(2, 3)
    torch.save({"weight": weight, "command": Command()}, folder / "command.bin")


def main():
    cases = [
        ("bert", bert, save_bert),
        ("roberta", roberta, save_shards),
        ("distilbert", distilbert, save_halves),
        ("before-1.6", bert, save_legacy),
    ]
    for seed, (name, make, save) in enumerate(cases, 100):
        generator = torch.Generator().manual_seed(seed)
        model = make().eval()
        randomise(model, generator)
        if save is save_halves:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.copy_(parameter.to(half_type(parameter)))
        folder = TARGET / name
        folder.mkdir(parents=True, exist_ok=True)
        record = tiny.expected_texts(model, text_batch(model.config.pad_token_id, tiny.VOCABULARY, generator), False)
        model.config.save_pretrained(folder)
        save(model, folder)
        (folder / "expected.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
        print(folder)
    save_refused(TARGET / "refused")


if __name__ == "__main__":
    main()
