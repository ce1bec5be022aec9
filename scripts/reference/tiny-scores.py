#!/usr/bin/env python3
"""Makes the classifiers of fixtures/scores and what the references make of their scores.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/tiny-scores.py

Two small checkpoints, one with a label and one with three. expected.json has their configurations, and for each case the
checkpoint, what is added to its files, pairs of texts or texts, and for each of them the labels with their numbers by the pipeline of transformers or by
`CrossEncoder.predict`, largest first.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from reference import randomise
from sentence_transformers import CrossEncoder
from text_checkpoints import SIZES
from texts import by_label

TARGET = Path(__file__).parents[2] / "fixtures/scores"
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat on a mat dog ran and then slept . ,".split()
TEXTS = ["the cat sat on the mat", "a dog ran", ""]
LONG = "a dog ran and then the cat sat on the mat and slept ."
PAIRS = [["the cat sat", "a dog"], ["a", LONG], [LONG, LONG], ["", "the cat"]]
LABELS = {"one": ["relevance"], "three": ["bad", "so so", "good"]}


def write_checkpoint(folder, names):
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 20}\n')
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}
    config = transformers.BertConfig(**SIZES, vocab_size=len(WORDS), max_position_embeddings=24, **labels)
    model = transformers.BertForSequenceClassification(config)
    randomise(model.eval(), torch.Generator().manual_seed(len(names)))
    model.save_pretrained(folder)


def changed(checkpoint, config, target):
    shutil.copytree(TARGET / checkpoint, target)
    path = target / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return target


def of_transformers(folder, texts):
    reference = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    names = list(reference.model.config.id2label.values())
    return [sorted(zip(names, by_label(reference, text, None)), key=lambda row: -row[1]) for text in texts]


def of_cross_encoder(folder, pairs):
    reference = CrossEncoder(str(folder), device="cpu")
    names = list(reference.config.id2label.values())
    rows = [torch.atleast_1d(torch.tensor(reference.predict([pair])[0])).tolist() for pair in pairs]
    return [sorted(zip(names, row), key=lambda row: -row[1]) for row in rows]


def saved_files(folder, target):
    """What a cross encoder is saved with besides the files of transformers."""
    CrossEncoder(str(folder), device="cpu").save_pretrained(str(target))
    names = ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"]
    return {name: json.loads((target / name).read_text()) for name in names}


def cases(work):
    activation = "torch.nn.modules.{}"
    for name, checkpoint, config, key in [
        ("softmax", "three", {}, "probability"),
        ("sigmoid-of-one", "one", {}, "probability"),
        ("multi-label", "three", {"problem_type": "multi_label_classification"}, "probability"),
        ("regression", "one", {"problem_type": "regression"}, "score"),
        ("regression-of-three", "three", {"problem_type": "regression"}, "score"),
    ]:
        folder = changed(checkpoint, config, work / name)
        for what, texts in [("texts", TEXTS), ("pairs", PAIRS)]:
            guesses = of_transformers(folder, texts)
            yield {
                "name": name,
                "checkpoint": checkpoint,
                "files": {"config.json": config},
                what: texts,
                "key": key,
            } | {"guesses": guesses}
    for name, checkpoint, config, key in [
        (
            "older-identity",
            "one",
            {"sbert_ce_default_activation_function": activation.format("linear.Identity")},
            "score",
        ),
        (
            "newer-sigmoid",
            "three",
            {"sentence_transformers": {"activation_fn": activation.format("activation.Sigmoid")}},
            "probability",
        ),
        ("saved-one", "one", {}, "probability"),
        ("saved-three", "three", {}, "score"),
    ]:
        folder = changed(checkpoint, config, work / name)
        files = {"config.json": config}
        if name.startswith("saved"):
            files |= saved_files(folder, work / f"{name}-again")
            folder = work / f"{name}-again"
        guesses = of_cross_encoder(folder, PAIRS)
        yield {"name": name, "checkpoint": checkpoint, "files": files, "pairs": PAIRS, "key": key, "guesses": guesses}


def main():
    shutil.rmtree(TARGET, ignore_errors=True)
    for name, labels in LABELS.items():
        write_checkpoint(TARGET / name, labels)
    with tempfile.TemporaryDirectory() as folder:
        found = list(cases(Path(folder)))
    # A folder with a configuration would be a case of all tests of models.
    configs = {name: json.loads((TARGET / name / "config.json").read_text()) for name in LABELS}
    for name in LABELS:
        (TARGET / name / "config.json").unlink()
    record = {
        "made_by": "scripts/reference/tiny-scores.py",
        "transformers": transformers.__version__,
        "configs": configs,
        "cases": found,
    }
    (TARGET / "expected.json").write_text(json.dumps(record) + "\n")
    print(TARGET)


if __name__ == "__main__":
    main()
