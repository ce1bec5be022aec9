#!/usr/bin/env python3
"""Makes fixtures/sentences/bert: a small model of sentence-transformers, and what the reference computes with it when one key
of one of its small files was changed.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/tiny-files.py

mutations.json has for each file and its changed content the first numbers of each text's vector, `null` where they are as
before, or that the reference takes it for a mistake. Keys and values are those of file-mutations.py.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from file_values import IN_ANY, IN_MODULES, IN_TOKENIZERS, module_lists, variants
from mutations import KEYS
from reference import randomise
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Dense, Dropout, LayerNorm, Normalize, Pooling
from text_checkpoints import SIZES, WIDTH

TARGET = Path(__file__).parents[2] / "fixtures/sentences/bert"
FILES = KEYS["files"]
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat on a mat dog ran and then slept hello : . ,".split()
TEXTS = ["the cat sat on the mat", "A dog ran", "", "a dog ran and then the cat sat on the mat and slept ."]
KEPT = 4
# Left to scripts/reference/tiny-tokenizers.py: what decides tokens alone.
OF_TOKENIZER = ["model_max_length", "max_len", "padding_side", "truncation_side", "model_input_names", "do_lower_case"]


def save(folder):
    encoder = folder.parent / "encoder"
    encoder.mkdir()
    (encoder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    (encoder / "tokenizer_config.json").write_text('{"model_max_length": 20}\n')
    config = transformers.BertConfig(**SIZES, vocab_size=len(WORDS), max_position_embeddings=24)
    model = transformers.BertModel(config)
    randomise(model.eval(), torch.Generator().manual_seed(1))
    model.save_pretrained(encoder)
    torch.manual_seed(1)
    modules = [Pooling(WIDTH, "mean"), Dense(WIDTH, WIDTH), LayerNorm(WIDTH), Dropout(), Normalize()]
    prompts = {"query": "the cat : ", "passage": "hello "}
    whole = SentenceTransformer(modules=[Transformer(str(encoder)), *modules], device="cpu", prompts=prompts)
    whole.save(str(folder))
    # The class's own files are enough.
    for name in ["README.md", "tokenizer.json"]:
        (folder / name).unlink(missing_ok=True)
    shutil.copy(encoder / "vocab.txt", folder)


def vectors(folder):
    model = SentenceTransformer(str(folder), device="cpu")
    return torch.stack([torch.from_numpy(model.encode([text])[0]) for text in TEXTS])


def read(name):
    return json.loads((TARGET / name).read_text())


def changes():
    """A file, and its content."""
    yield from (("modules.json", content) for _, content in module_lists(read("modules.json")))
    for entry in read("modules.json")[1:]:
        kind, file = entry["type"].rsplit(".", 1)[-1], f"{entry['path']}/config.json"
        yield from ((file, content) for *_, content in variants(read(file), FILES["modules"][kind], IN_MODULES[kind]))
    for file, keys, values in [
        ("sentence_bert_config.json", FILES["modules"]["Transformer"], IN_MODULES["Transformer"]),
        ("config_sentence_transformers.json", FILES["config_sentence_transformers.json"], IN_ANY),
        ("tokenizer_config.json", dict.fromkeys(OF_TOKENIZER), IN_TOKENIZERS),
    ]:
        yield from ((file, content) for *_, content in variants(read(file), keys, values))


def outcome(folder, unchanged):
    try:
        found = vectors(folder)
    except Exception:
        return "mistake"
    if found.shape == unchanged.shape and torch.allclose(found, unchanged, rtol=1e-5, atol=1e-6):
        return None
    return [[float(f"{number:.6g}") for number in row[:KEPT]] for row in found.tolist()]


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    shutil.rmtree(TARGET, ignore_errors=True)
    with tempfile.TemporaryDirectory() as work:
        save(Path(work) / "sentences")
        shutil.copytree(Path(work) / "sentences", TARGET)
        (TARGET / "case.toml").write_text('kind = "small-files"\ntask = "sentence-embedding"\n')
        unchanged, lines = vectors(TARGET), []
        for file, content in changes():
            target = Path(work) / "changed"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(TARGET, target)
            (target / file).write_text(json.dumps(content))
            entry = {"file": file, "content": content, "outcome": outcome(target, unchanged)}
            if json.dumps(entry) not in lines:
                lines.append(json.dumps(entry))
    rows = [[float(f"{number:.6g}") for number in row] for row in unchanged.tolist()]
    head = f'"texts": {json.dumps(TEXTS)},\n"unchanged": {json.dumps(rows)}'
    text = f'{{\n{head},\n"mutations": [\n' + ",\n".join(lines) + "\n]\n}\n"
    (TARGET / "mutations.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
