"""Small random checkpoints of every text family and task, in the layouts of repositories on the Hub: for texts.py."""

import dataclasses
import json
import shutil
import zlib
from pathlib import Path

import torch
import transformers
from reference import randomise
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize, Pooling

TOKENIZERS = Path(__file__).parents[2] / "fixtures/tokenizers"
WORD_PIECES = {"vocab.txt": "vocab.txt"}
BYTE_PAIRS = {"vocab.json": "vocab.json", "merges.txt": "merges.txt"}
SENTENCEPIECE = {"sentencepiece.bpe.model": "sentencepiece.bpe.model"}
# Most tokens of a text, and the rows of the table of positions, which some families begin at the third.
LONGEST, POSITIONS = 32, 40
WIDTH = 16
SIZES = dict(hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24)
LABELS = {0: "bad", 1: "so so", 2: "good"}

# Files of each family's tokenizer, by their names in fixtures/tokenizers, and its configuration.
FAMILIES = {
    "bert": (WORD_PIECES, SIZES),
    "electra": (WORD_PIECES, SIZES | dict(embedding_size=8)),
    "distilbert": (WORD_PIECES, dict(dim=WIDTH, n_layers=2, n_heads=4, hidden_dim=24)),
    "mpnet": ({"vocab.txt": "mpnet/vocab.txt"}, SIZES),
    "roberta": (BYTE_PAIRS, SIZES | dict(type_vocab_size=1)),
    "xlm-roberta": (SENTENCEPIECE, SIZES | dict(type_vocab_size=1)),
    "camembert": (SENTENCEPIECE, SIZES | dict(type_vocab_size=1)),
}
TASKS = {
    "feature-extraction": transformers.AutoModel,
    "text-classification": transformers.AutoModelForSequenceClassification,
    "token-classification": transformers.AutoModelForTokenClassification,
    "question-answering": transformers.AutoModelForQuestionAnswering,
    "fill-mask": transformers.AutoModelForMaskedLM,
}
HEADS = {
    "two-labels": {},
    "three-labels": dict(id2label=LABELS),
    "one-label": dict(num_labels=1),
    "multi-label": dict(id2label=LABELS, problem_type="multi_label_classification"),
    "regression": dict(num_labels=1, problem_type="regression"),
    "regression-of-three": dict(id2label=LABELS, problem_type="regression"),
}
SENTENCE_MODELS = {
    "mean": lambda: [Pooling(WIDTH, "mean"), Normalize()],
    "cls": lambda: [Pooling(WIDTH, "cls")],
    "max-dense": lambda: [Pooling(WIDTH, "max"), Dense(WIDTH, 10), Normalize()],
    "weighted": lambda: [Pooling(WIDTH, "weightedmean"), LayerNorm(WIDTH)],
    "last": lambda: [Pooling(WIDTH, "lasttoken")],
    "several": lambda: [Pooling(WIDTH, ("cls", "mean_sqrt_len_tokens", "mean"))],
}
# What a cross encoder's files have of it: `config.json` of two generations, or the files of release 6.
CROSS_ENCODERS = {
    "older-identity": (1, {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}),
    "newer-sigmoid": (3, {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}),
    "newer-identity": (3, {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}),
    "saved-one-label": (1, None),
    "saved-three-labels": (3, None),
}


@dataclasses.dataclass
class TextCheckpoint:
    """A folder with a model and its tokenizer."""

    family: str
    task: str
    kind: str
    folder: Path

    @property
    def name(self):
        return f"{self.family} {self.task} {self.kind}"


class Maker:
    """Writes checkpoints into folders of its own, each with weights of its own."""

    def __init__(self, root):
        self.root, self.count = root, 0

    def tokenizer_files(self, folder, family, whole):
        """The files that the class of tokenizer has, or what transformers saves of them."""
        folder.mkdir(parents=True, exist_ok=True)
        for stale in [*folder.glob("tokenizer*.json"), folder / "special_tokens_map.json"]:
            stale.unlink(missing_ok=True)
        for name, source in FAMILIES[family][0].items():
            shutil.copy(TOKENIZERS / source, folder / name)
        (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": LONGEST}))
        if not (folder / "config.json").exists():
            (folder / "config.json").write_text(json.dumps({"model_type": family}))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        if whole:
            for name in FAMILIES[family][0]:
                (folder / name).unlink()
            tokenizer.save_pretrained(folder)
        return tokenizer

    def model(self, family, task, kind, whole=False, **options):
        """A checkpoint of transformers."""
        self.count += 1
        folder = self.root / f"{self.count}-{family}"
        tokenizer = self.tokenizer_files(folder, family, whole)
        seed = zlib.crc32(f"{family} {task} {kind}".encode())
        config = transformers.AutoConfig.for_model(
            family,
            **FAMILIES[family][1],
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            max_position_embeddings=POSITIONS + 2,
            **options,
        )
        model = TASKS[task].from_config(config)
        randomise(model.eval(), torch.Generator().manual_seed(seed))
        model.save_pretrained(folder)
        return TextCheckpoint(family, task, kind, folder)

    def sentence_model(self, family, kind, whole):
        """What sentence-transformers saves, with a default prompt in one kind and lengths in another."""
        encoder = self.model(family, "feature-extraction", kind)
        torch.manual_seed(self.count)
        modules = [Transformer(str(encoder.folder), max_seq_length=20 if kind == "cls" else None)]
        prompts = {"prompts": {"query": "the cats: "}, "default_prompt_name": "query"} if kind == "weighted" else {}
        folder = encoder.folder.with_name(f"{encoder.folder.name}-sentences")
        SentenceTransformer(modules=[*modules, *SENTENCE_MODELS[kind]()], device="cpu", **prompts).save(str(folder))
        if not whole and kind != "cls":
            self.tokenizer_files(folder, family, whole=False)
        return TextCheckpoint(family, "sentence-embedding", kind, folder)

    def cross_encoder(self, family, kind, whole):
        """A classifier that is used by sentence-transformers."""
        labels, keys = CROSS_ENCODERS[kind]
        encoder = self.model(family, "text-classification", kind, whole, num_labels=labels)
        if keys is not None:
            path = encoder.folder / "config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | keys))
            return encoder
        folder = encoder.folder.with_name(f"{encoder.folder.name}-saved")
        CrossEncoder(str(encoder.folder), device="cpu").save_pretrained(str(folder))
        return dataclasses.replace(encoder, folder=folder)


def plain_checkpoints(maker, family, wanted):
    """Of transformers."""
    for task in TASKS:
        if task != "text-classification" and task in wanted:
            options = {"id2label": LABELS} if task == "token-classification" else {}
            yield maker.model(family, task, "tokenizer-of-its-class", whole=False, **options)
            yield maker.model(family, task, "tokenizer.json", whole=True, **options)
    if "text-classification" in wanted:
        for number, (kind, options) in enumerate(HEADS.items()):
            yield maker.model(family, "text-classification", kind, whole=number % 2 == 0, **options)


def sentence_checkpoints(maker, family, wanted):
    """Of sentence-transformers."""
    if "sentence-embedding" in wanted:
        for number, kind in enumerate(SENTENCE_MODELS):
            yield maker.sentence_model(family, kind, whole=number % 2 == 0)
    if "cross-encoder" in wanted:
        for number, kind in enumerate(CROSS_ENCODERS):
            yield dataclasses.replace(maker.cross_encoder(family, kind, number % 2 == 0), task="cross-encoder")
