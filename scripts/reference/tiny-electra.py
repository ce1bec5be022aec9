#!/usr/bin/env python3
"""Makes the checkpoints of fixtures/models/electra and what transformers computes with them.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/tiny-electra.py

Weights, batches and expected.json are as tiny-models.py makes them; case.toml is written by hand. The activation of the
encoder is another than that of the heads, and tables are narrower than the encoder but in `tokens`.
"""

import importlib.util
import json
from pathlib import Path

import torch
import transformers
from reference import randomise, text_batch

SCRIPTS = Path(__file__).parent

specification = importlib.util.spec_from_file_location("tiny_models", SCRIPTS / "tiny-models.py")
tiny = importlib.util.module_from_spec(specification)
specification.loader.exec_module(tiny)

TARGET = tiny.TARGET / "electra"


def models():
    """Name and model."""

    def config(**keys):
        return transformers.ElectraConfig(**{**tiny.BERT, "embedding_size": 8, **keys})

    yield "features", transformers.ElectraModel(config())
    labelled = config(id2label=tiny.LABELS, hidden_act="gelu_new")
    yield "classifier", transformers.ElectraForSequenceClassification(labelled)
    wide = config(id2label=tiny.LABELS, embedding_size=16)
    yield "tokens", transformers.ElectraForTokenClassification(wide)
    yield "answers", transformers.ElectraForQuestionAnswering(config(layer_norm_eps=1e-5))
    yield "masked", transformers.ElectraForMaskedLM(config(hidden_act="relu"))
    yield "masked-untied", transformers.ElectraForMaskedLM(config(tie_word_embeddings=False))


def main():
    for seed, (name, model) in enumerate(models(), 300):
        generator = torch.Generator().manual_seed(seed)
        randomise(model.eval(), generator)
        batch = text_batch(model.config.pad_token_id, tiny.VOCABULARY, generator)
        folder = TARGET / name
        model.save_pretrained(folder)
        record = tiny.expected_texts(model, batch, False)
        (folder / "expected.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
        print(folder)


if __name__ == "__main__":
    main()
