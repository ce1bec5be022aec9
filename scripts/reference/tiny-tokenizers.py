#!/usr/bin/env python3
"""Makes the small vocabularies of fixtures/tokenizers and what transformers makes of 1,000 lines with them.

    venv/bin/pip install -r scripts/reference/requirements.txt sentencepiece protobuf
    venv/bin/python scripts/reference/tiny-tokenizers.py

Lines are random, from many scripts, with special tokens and odd spaces among them. cases.json has the files and settings of
each tokenizer, and for each line four hexadecimal digits of its token numbers: the 32-bit FNV-1a of the numbers with commas
between them, its halves joined by exclusive or. Lines stand alone; every tenth also comes first in a pair with the next.
"""

import json
import random
import tempfile
from pathlib import Path

import sentencepiece
import tokenizers
import transformers

TARGET = Path(__file__).parents[2] / "fixtures/tokenizers"
COUNT = 1000
SPECIAL = "[MASK] [CLS] [SEP] <mask> <s> </s> <pad> [PAD] [UNK] <unk> [new] NewWord".split()
SPACES = [" ", " ", " ", "  ", "\u00a0", "\u3000", "\u2003", "\t", "\n", "\u2028", ""]
WORDS = (
    "the The cats running RUNNING don't unbelievable İstanbul straße STRASSE naïve café résumé e-mail U.S.A. 3.14 1,000 "
    "#tag @user http://a.b/c?d=e hello world word-piece ﬁne ǅ ẞ ά Σίσυφος can't we'll I'm"
).split()
SCRIPTS = [
    [(0x41, 0x5B), (0x61, 0x7B)],  # Latin
    [(0xC0, 0x180), (0x61, 0x7B)],
    [(0x1EA0, 0x1EFA), (0x61, 0x7B)],  # Vietnamese
    [(0x391, 0x3CA), (0x1F00, 0x1F16)],  # Greek
    [(0x400, 0x450)],  # Cyrillic
    [(0x621, 0x63B), (0x641, 0x653)],  # Arabic
    [(0x5D0, 0x5EB), (0x5B0, 0x5BD)],  # Hebrew
    [(0x905, 0x93A), (0x93E, 0x94E)],  # Devanagari
    [(0x985, 0x98D), (0x9BE, 0x9C5)],  # Bengali
    [(0xB85, 0xB8B), (0xBBE, 0xBC3)],  # Tamil
    [(0xE01, 0xE3B), (0xE40, 0xE4F)],  # Thai
    [(0x4E00, 0x4E80), (0x3400, 0x3410), (0xF900, 0xF910), (0x20000, 0x20008)],  # Chinese
    [(0x3041, 0x3097), (0x30A1, 0x30FB), (0xFF66, 0xFF9E)],  # Japanese
    [(0xAC00, 0xAC60), (0x1100, 0x1113)],  # Korean
    [(0x10D0, 0x10F1), (0x531, 0x557), (0x561, 0x587), (0x1200, 0x1240)],  # Georgian, Armenian, Ethiopic
    [(0x1F600, 0x1F620), (0x1F1E6, 0x1F200), (0x1F3FB, 0x1F400)],  # emoji
    [(0x2010, 0x2030), (0x20A0, 0x20B0), (0x2190, 0x21A0), (0x2460, 0x2470)],  # symbols
    [(0xFF01, 0xFF5F), (0x1D400, 0x1D410), (0x2100, 0x2110), (0xFB00, 0xFB07)],  # compatibility forms
    [(0x61, 0x6B), (0x300, 0x315)],  # combining marks
    [(0x21, 0x30), (0x3A, 0x41), (0x5B, 0x61), (0x7B, 0x7F)],  # punctuation
    [(0x30, 0x3A), (0x660, 0x66A), (0x966, 0x970)],  # digits
    [(0x1, 0x20), (0x7F, 0xA1), (0x200B, 0x2010), (0xFEFF, 0xFF00)],  # control characters
]


def lines():
    generator = random.Random(5)
    made = ["", " ", "a" * 120, "  two  spaces  ", "x" * 101 + " y"]
    while len(made) < COUNT:
        parts = []
        for _ in range(generator.randint(1, 3)):
            kind = generator.random()
            if kind < 0.12:
                part = generator.choice(SPECIAL)
            elif kind < 0.4:
                part = generator.choice(WORDS)
            else:
                script = SCRIPTS[len(made) % len(SCRIPTS)] if generator.random() < 0.7 else generator.choice(SCRIPTS)
                letters = [generator.choice(script) for _ in range(generator.randint(1, 5))]
                part = "".join(chr(generator.randrange(*letter)) for letter in letters)
            parts += [part, generator.choice(SPACES)]
        made.append("".join(parts))
    return made


def words(texts):
    """Single characters of half of the texts, pieces of two, and some whole words, as a normaliser leaves them."""
    normalizer = tokenizers.normalizers.BertNormalizer(True, True, None, True)
    split = tokenizers.pre_tokenizers.BertPreTokenizer()
    found = {}
    for text in texts[::2]:
        for form in (text, normalizer.normalize_str(text)):
            for word, _ in split.pre_tokenize_str(form):
                for piece in [word[:1], word[:3], "##" + word[1:2], "##" + word[1:3], "##" + word[-1:]]:
                    if piece not in ("", "##"):
                        found[piece] = found.get(piece, 0) + 1
    kept = sorted(found, key=lambda piece: (-found[piece], piece))[:700]
    return sorted(kept + ["the", "cats", "running", "##ning", "caf", "##e", "hello", "world"])


def write_lines(name, tokens):
    path = TARGET / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{token}\n" for token in dict.fromkeys(tokens)), encoding="utf-8")


def write_pairs(texts):
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.model.save(str(TARGET))


def write_sentencepiece(texts):
    with tempfile.TemporaryDirectory() as folder:
        # A small table in place of the 240 kB that NFKC takes.
        rules = Path(folder) / "rules.tsv"
        wide = [f"{code:X}\t{code - 0xFEE0:X}" for code in range(0xFF01, 0xFF5F)]
        others = ["FB01\t66 69", "A0\t20", "3000\t20", "9\t20", "A\t20", "200B\t", "C7\t43", "2460\t31", "130\t49 307"]
        rules.write_text("\n".join(wide + others) + "\n", encoding="utf-8")
        corpus = Path(folder) / "corpus.txt"
        corpus.write_text("\n".join(" ".join(text.split()) for text in texts), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus),
            model_prefix=f"{folder}/spm",
            vocab_size=700,
            character_coverage=0.98,
            normalization_rule_tsv=str(rules),
            user_defined_symbols=["[new]"],
            minloglevel=2,
        )
        (TARGET / "sentencepiece.bpe.model").write_bytes((Path(folder) / "spm.model").read_bytes())


def write_whole():
    """A tokenizer.json whose steps are not those of its class."""
    tokens = (TARGET / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    whole = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({token: number for number, token in enumerate(tokens)}, unk_token="[UNK]")
    )
    whole.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=False)
    whole.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    whole.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", tokenizers.AddedToken("[MASK]", lstrip=True)])
    whole.add_tokens(["NewWord"])
    whole.enable_padding(direction="left", pad_token="[PAD]", pad_id=0)
    whole.save(str(TARGET / "tokenizer.json"), pretty=False)


WORD_PIECES = {"vocab.txt": "vocab.txt"}
BYTE_PAIRS = {"vocab.json": "vocab.json", "merges.txt": "merges.txt"}
SENTENCEPIECE = {"sentencepiece.bpe.model": "sentencepiece.bpe.model"}
WHOLE = {"tokenizer.json": "tokenizer.json"}
MASK = {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}


def listed(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": True, "single_word": False, **flags}


# Name, model type, files, and the JSON files that are written for the tokenizer.
CASES = [
    ("bert", "bert", WORD_PIECES, {}),
    ("bert-cased", "bert", WORD_PIECES, {"tokenizer_config.json": {"do_lower_case": False, "model_max_length": 512}}),
    (
        "bert-accents",
        "electra",
        WORD_PIECES,
        {
            "tokenizer_config.json": {
                "tokenizer_class": "ElectraTokenizer",
                "strip_accents": False,
                "tokenize_chinese_chars": False,
                "do_basic_tokenize": True,
            },
            "special_tokens_map.json": {"mask_token": MASK, "unk_token": "[UNK]"},
            "added_tokens.json": {"[new]": 900, "NewWord": 901},
        },
    ),
    (
        "bert-listed",
        "distilbert",
        WORD_PIECES,
        {
            "tokenizer_config.json": {
                "tokenizer_class": "DistilBertTokenizer",
                "do_lower_case": False,
                "strip_accents": True,
                "additional_special_tokens": ["<mask>"],
                "added_tokens_decoder": {
                    "902": listed("[new]", normalized=False, special=True),
                    "901": listed("NewWord", single_word=True),
                    "4": {**MASK, "special": True},
                },
            },
        },
    ),
    ("bert-whole", "bert", WHOLE, {}),
    ("bert-whole-cased", "bert", WHOLE, {"tokenizer_config.json": {"do_lower_case": False, "padding_side": "right"}}),
    ("whole", "bert", WHOLE, {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"}}),
    ("mpnet", "mpnet", {"vocab.txt": "mpnet/vocab.txt"}, {}),
    ("roberta", "roberta", BYTE_PAIRS, {"tokenizer_config.json": {"model_max_length": 512}}),
    (
        "roberta-spaces",
        "roberta",
        BYTE_PAIRS,
        {
            "tokenizer_config.json": {"add_prefix_space": True, "trim_offsets": False, "split_special_tokens": True},
            "special_tokens_map.json": {"mask_token": {**MASK, "content": "<mask>"}, "cls_token": "<s>"},
        },
    ),
    (
        "roberta-named",
        "roberta",
        BYTE_PAIRS,
        {
            "tokenizer_config.json": {
                "image_token": "the",
                "video_token": {"__type": "AddedToken", **listed("cats", single_word=True)},
            },
        },
    ),
    (
        "roberta-specific",
        "roberta",
        BYTE_PAIRS,
        {"tokenizer_config.json": {"model_specific_special_tokens": {"image_token": "the"}}},
    ),
    ("xlm-roberta", "xlm-roberta", SENTENCEPIECE, {"tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer"}}),
    ("xlm-roberta-spaces", "xlm-roberta", SENTENCEPIECE, {"tokenizer_config.json": {"add_prefix_space": False}}),
    ("camembert", "camembert", SENTENCEPIECE, {}),
]


def fnv(numbers):
    value = 0x811C9DC5
    for byte in ",".join(map(str, numbers)).encode():
        value = (value ^ byte) * 0x01000193 % 2**32
    return f"{value >> 16 ^ value & 0xFFFF:04x}"


def expected(case, texts):
    name, model_type, files, settings = case
    with tempfile.TemporaryDirectory() as folder:
        written = {"config.json": {"model_type": model_type}, **settings}
        for file, value in written.items():
            (Path(folder) / file).write_text(json.dumps(value), encoding="utf-8")
        for file, source in files.items():
            (Path(folder) / file).write_bytes((TARGET / source).read_bytes())
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        single = tokenizer(texts)["input_ids"]
        pairs = tokenizer(texts[:-1], texts[1:])
        kinds = pairs.get("token_type_ids") or [[0] * len(row) for row in pairs["input_ids"]]
    return {
        "name": name,
        "files": files,
        "settings": written,
        "padding_side": tokenizer.padding_side,
        "class": type(tokenizer).__name__,
        "lines": "".join(fnv(row) for row in single),
        "pairs": "".join(fnv(row + kind) for row, kind in list(zip(pairs["input_ids"], kinds))[::10]),
        "examples": {str(line): single[line] for line in (3, 100, 500)},
    }


def main():
    texts = lines()
    TARGET.mkdir(exist_ok=True)
    (TARGET / "lines.json").write_text(json.dumps(texts, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    found = words(texts)
    write_lines("vocab.txt", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *found])
    write_lines("mpnet/vocab.txt", ["<s>", "<pad>", "</s>", "<unk>", *found, "[UNK]", "<mask>"])
    write_pairs(texts[::2])
    write_sentencepiece(texts[::2])
    write_whole()
    cases = [expected(case, texts) for case in CASES]
    record = {"made_by": "scripts/reference/tiny-tokenizers.py", "transformers": transformers.__version__, "cases": cases}
    (TARGET / "cases.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(*(f"{case['name']} {case['class']}" for case in cases), sep="\n")


if __name__ == "__main__":
    main()
