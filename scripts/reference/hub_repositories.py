"""Often used repositories of the Hub in small: the same set of files and keys, random weights, a vocabulary of some words.

`hub_list.py` has one entry for each; `make` writes its files into a folder.
"""

import json
import shutil
from pathlib import Path

import sentencepiece
import timm
import torch
import transformers
from reference import randomise, save_timm
from safetensors.torch import load_file, save_file
from sentence_transformers import models as modules
from tokenizers import ByteLevelBPETokenizer

WORDS = (
    "the a cat dog sat ran on off mat hill i you love hate this that movie film good bad not very "
    "in london paris lives works for company new york small large old red blue green who where is was"
).split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-:ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = ["The cat sat on the mat.", "I love this movie, not that one!"]

HEADS = {
    "sentence-embedding": "Model",
    "feature-extraction": "Model",
    "image-feature-extraction": "Model",
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "fill-mask": "ForMaskedLM",
    "image-classification": "ForImageClassification",
}
# What a repository was pretrained with, where its task uses a part of it.
PRETRAINED = {
    ("Bert", "fill-mask"): "BertForPreTraining",
    ("Electra", "feature-extraction"): "ElectraForPreTraining",
}


def make(repository, folder, seed):
    """Writes the repository's files into a folder that is not there yet."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    if repository.model == "timm":
        make_timm(repository, folder, generator)
        return
    vocabulary = make_tokenizer(repository, folder)
    config = dict(repository.config, **({"vocab_size": vocabulary} if vocabulary else {}))
    configuration = getattr(transformers, f"{repository.model}Config")(**config)
    head = PRETRAINED.get((repository.model, repository.task), repository.model + HEADS[repository.task])
    model = getattr(transformers, head)(configuration)
    randomise(model.eval(), generator)
    model.save_pretrained(folder)
    trim_config(repository, folder)
    save_weights(repository, folder)
    if repository.sentence:
        save_modules(repository, folder, generator)
    for name, content in repository.sentence_files.items():
        write_json(folder / name, content)
    if repository.preprocessor:
        write_json(folder / "preprocessor_config.json", repository.preprocessor)


def write_json(path, content):
    """Writes a JSON file as libraries do."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def make_timm(repository, folder, generator):
    """A repository of timm."""
    arguments = repository.config["arguments"]
    model = timm.create_model(repository.config["architecture"], **arguments)
    randomise(model.eval(), generator)
    size = {"input_size": [3, 64, 64], "crop_pct": 0.95, "tag": "a1_in1k", "interpolation": "bicubic"}
    save_timm(model, folder, arguments, size)
    save_weights(repository, folder)


def trim_config(repository, folder):
    """Leaves the keys that the repository has."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key in ["dtype", "transformers_version", "tie_word_embeddings", "is_decoder", "add_cross_attention"]:
        config.pop(key, None)
    config.update(repository.added)
    if repository.kept:
        config = {key: value for key, value in config.items() if key in repository.kept}
    write_json(path, config)


def save_weights(repository, folder):
    """The files of weights that the repository has, under old names where it has them."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    if repository.old_names:
        renamed = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for new, old in renamed.items():
            tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
        save_file(tensors, path, metadata={"format": "pt"})
    if "pytorch_model.bin" in repository.weights:
        torch.save(tensors, folder / "pytorch_model.bin")
    if "model.safetensors" not in repository.weights:
        path.unlink()


def save_modules(repository, folder, generator):
    """`modules.json` and a folder for each module."""
    listed = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for index, (kind, content) in enumerate(repository.sentence, start=1):
        path = folder / f"{index}_{kind}"
        path.mkdir()
        if kind == "Pooling":
            write_json(path / "config.json", content)
        elif kind == "Dense":
            dense = modules.Dense(32, content, activation_function=torch.nn.Tanh())
            randomise(dense, generator)
            dense.save(str(path))
            torch.save(dense.state_dict(), path / "pytorch_model.bin")
            config = {
                "in_features": 32,
                "out_features": content,
                "bias": True,
                "activation_function": "torch.nn.modules.activation.Tanh",
            }
            write_json(path / "config.json", config)
        listed.append(
            {"idx": index, "name": str(index), "path": path.name, "type": f"sentence_transformers.models.{kind}"}
        )
    write_json(folder / "modules.json", listed)


def make_tokenizer(repository, folder):
    """Writes the tokenizer's files; the number of tokens, 0 without a tokenizer."""
    files = repository.tokenizer
    if not files:
        return 0
    if "sentencepiece.bpe.model" in files:
        tokenizer = unigram(folder)
    elif "vocab.json" in files:
        tokenizer = byte_pairs(folder)
    else:
        tokenizer = word_pieces(repository, folder)
    if "tokenizer.json" in files:
        tokenizer.save_pretrained(folder)
    if repository.tokenizer_config:
        write_json(folder / "tokenizer_config.json", repository.tokenizer_config)
    return len(tokenizer)


def word_pieces(repository, folder):
    """`vocab.txt`, and the tokenizer of it."""
    special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"] if repository.model == "MPNet" else SPECIAL
    words = WORDS if repository.lower else WORDS + [word.capitalize() for word in WORDS]
    pieces = special + list(LETTERS) + [f"##{letter}" for letter in LETTERS] + [word for word in words if len(word) > 1]
    path = folder / "vocab.txt"
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    kind = transformers.MPNetTokenizer if repository.model == "MPNet" else transformers.BertTokenizer
    return kind(vocab={piece: index for index, piece in enumerate(pieces)}, do_lower_case=repository.lower)


def byte_pairs(folder):
    """`vocab.json` and `merges.txt`, and the tokenizer of them."""
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator([" ".join(WORDS)] * 4 + TEXTS, vocab_size=360, min_frequency=1, special_tokens=special)
    trained.save_model(str(folder))
    return transformers.AutoTokenizer.from_pretrained(str(folder), tokenizer_type="roberta")


def unigram(folder):
    """`sentencepiece.bpe.model`, and the tokenizer of it."""
    text = folder / "text"
    text.write_text(
        "\n".join([" ".join(WORDS), *TEXTS, *(word.capitalize() for word in WORDS), LETTERS] * 4), encoding="utf-8"
    )
    prefix = str(folder / "trained")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=prefix,
        vocab_size=180,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        pad_id=-1,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        minloglevel=2,
    )
    shutil.move(f"{prefix}.model", folder / "sentencepiece.bpe.model")
    Path(f"{prefix}.vocab").unlink()
    text.unlink()
    return transformers.AutoTokenizer.from_pretrained(str(folder), tokenizer_type="xlm-roberta")
