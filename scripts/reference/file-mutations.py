#!/usr/bin/env python3
"""Changes each key of the small files next to a text model, and compares planforge with the reference, from texts to
results: file-mutations.py PLANFORGE [NAME...]

NAME is `sentences`, `cross-encoder`, or a class of tokenizers such as `BertTokenizer`; all by default. The files are
`modules.json`, the configurations of its modules, `sentence_bert_config.json` under each of its names,
`config_sentence_transformers.json` and `tokenizer_config.json`; their keys are those that scripts/reference/config-keys.py
finds. Each gets other values, one at a time: then planforge has to give what the reference gives, or to refuse the
checkpoint. With MUTATIONS_DETAILS=1 each refusal is printed, and each checkpoint that only the reference refuses. Ends with
4 where a result is wrong.
"""

import collections
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from file_values import IN_ANY, IN_MODULES, IN_TOKENIZERS, module_lists, variants
from mutations import KEYS, LEFT_OUT
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Dense, Dropout, LayerNorm, Normalize, Pooling
from text_checkpoints import LABELS, WIDTH, Maker, TextCheckpoint
from texts import COMPARISONS, PAIRS, TEXTS, Infer, Refused

FILES = KEYS["files"]
NAMES_OF_SETTINGS = [
    "sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
    "sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
]
FAMILY_OF = {
    "BertTokenizer": "bert",
    "DistilBertTokenizer": "distilbert",
    "MPNetTokenizer": "mpnet",
    "RobertaTokenizer": "roberta",
    "XLMRobertaTokenizer": "xlm-roberta",
    "CamembertTokenizer": "camembert",
    "TokenizersBackend": "bert",
}


class Trial:
    """Compares the two on one changed checkpoint after another, and keeps the count."""

    def __init__(self, program, work):
        self.infer, self.target = Infer(program, work), work / "changed"
        self.counts, self.largest = collections.Counter(), 0.0

    def compare(self, what, checkpoint, files):
        """Compares with other content of `files`; one without content is removed."""
        shutil.rmtree(self.target, ignore_errors=True)
        shutil.copytree(checkpoint.folder, self.target)
        for name, content in files.items():
            (self.target / name).unlink(missing_ok=True)
            if content is not None:
                (self.target / name).write_text(json.dumps(content))
        changed = TextCheckpoint(checkpoint.family, checkpoint.task, checkpoint.kind, self.target)
        try:
            self.judge(what, list(COMPARISONS[checkpoint.task](changed, self.infer)))
        except Refused as error:
            self.note("refused", what, error)
        except Exception as error:
            self.of_reference_alone(what, changed, error)

    def judge(self, what, results):
        for given, difference in results:
            self.largest = max(self.largest, difference.values.error(), difference.scores.error())
            is_equal = difference.holds()
            self.counts["equal" if is_equal else "WRONG"] += 1
            if not is_equal:
                found = f"values {difference.values.error():.1e}, probabilities {difference.probabilities:.1e}"
                print(f"  WRONG {what} {given}: {found} {'; '.join(difference.unequal[:2])[:200]}", flush=True)

    def of_reference_alone(self, what, checkpoint, error):
        try:
            self.infer(checkpoint, *(zip(*PAIRS) if checkpoint.task == "cross-encoder" else [TEXTS]))
        except Refused as refusal:
            self.note("refused by both", what, refusal)
        else:
            self.note("taken, though the reference fails", what, f"{type(error).__name__}: {error}")

    def note(self, kind, what, reason):
        self.counts[kind] += 1
        reason = " ".join(str(reason).split())
        if "panicked" in reason or "error" not in reason and kind.startswith("refused"):
            self.counts["WRONG"] += 1
            print(f"  WRONG {what}: {reason}", flush=True)
        if os.environ.get("MUTATIONS_DETAILS"):
            print(f"  {what}: {kind} | {reason[:240]}", flush=True)


def read(checkpoint, name):
    path = checkpoint.folder / name
    return json.loads(path.read_text()) if path.exists() else {}


def mutate(trial, checkpoint, file, keys, values):
    """Each key of a file of a checkpoint with other values."""
    for key, value, changed in variants(read(checkpoint, file), keys, values):
        shown = "left out" if value is LEFT_OUT else json.dumps(value)
        trial.compare(f"{file} {key} {shown}", checkpoint, {file: changed})


def sentences(trial, work):
    """A model of sentence-transformers with a module of each kind."""
    maker = Maker(work / "made")
    encoder = maker.model("bert", "feature-extraction", "mean")
    torch.manual_seed(1)
    modules = [Pooling(WIDTH, "mean"), Dense(WIDTH, WIDTH), LayerNorm(WIDTH), Dropout(), Normalize()]
    prompts = {"query": "the cats: ", "passage": "hello "}
    model = SentenceTransformer(modules=[Transformer(str(encoder.folder)), *modules], device="cpu", prompts=prompts)
    folder = work / "sentences"
    model.save(str(folder))
    checkpoint = TextCheckpoint("bert", "sentence-embedding", "mean", folder)
    trial.compare("unchanged", checkpoint, {})
    for what, listed in module_lists(read(checkpoint, "modules.json")):
        trial.compare(f"modules.json {what}", checkpoint, {"modules.json": listed})
    for entry in json.loads((folder / "modules.json").read_text())[1:]:
        kind = entry["type"].rsplit(".", 1)[-1]
        mutate(trial, checkpoint, f"{entry['path']}/config.json", FILES["modules"][kind], IN_MODULES[kind])
    mutate(trial, checkpoint, NAMES_OF_SETTINGS[0], FILES["modules"]["Transformer"], IN_MODULES["Transformer"])
    for name in NAMES_OF_SETTINGS:
        settings = {NAMES_OF_SETTINGS[0]: None, name: {"max_seq_length": 7, "do_lower_case": True}}
        trial.compare(f"{name} alone", checkpoint, settings)
        trial.compare(f"{name} next to an empty one", checkpoint, {NAMES_OF_SETTINGS[0]: {}} | settings)
    mutate(trial, checkpoint, "config_sentence_transformers.json", FILES["config_sentence_transformers.json"], IN_ANY)
    mutate(trial, checkpoint, "tokenizer_config.json", dict.fromkeys(["model_max_length", "max_len"]), IN_TOKENIZERS)


def cross_encoder(trial, work):
    """A cross encoder as release 6 saves it; its activation must be seen, so it has one that is not its default."""
    maker = Maker(work / "made")
    checkpoint = maker.cross_encoder("bert", "saved-one-label", whole=True)
    checkpoint = TextCheckpoint("bert", "cross-encoder", "saved-one-label", checkpoint.folder)
    trial.compare("unchanged", checkpoint, {})
    for file in ["config_sentence_transformers.json", "sentence_bert_config.json"]:
        kind = FILES["modules"]["Transformer"] if file.startswith("sentence_bert") else FILES[file]
        mutate(trial, checkpoint, file, kind, IN_MODULES["Transformer"] | IN_ANY)
    for what, listed in module_lists(read(checkpoint, "modules.json")):
        trial.compare(f"modules.json {what}", checkpoint, {"modules.json": listed})


def tokenizer(trial, work, name):
    """A model with the class's own files, one with `tokenizer.json`, and a classifier of pairs."""
    family, keys = FAMILY_OF[name], FILES["tokenizer_config.json"][name] | {"image_token": None}
    own = {"tokenizer_class": name}
    for whole in [False, True]:
        if name == "TokenizersBackend" and not whole:
            continue
        maker = Maker(work / f"made-{whole}")
        for task, options in [("feature-extraction", {}), ("text-classification", {"id2label": LABELS})]:
            checkpoint = maker.model(family, task, "three-labels", whole, **options)
            path = checkpoint.folder / "tokenizer_config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | own))
            what = f"{name} {'with tokenizer.json' if whole else 'of its own files'} {task}"
            print(what, flush=True)
            trial.compare(f"{what} unchanged", checkpoint, {})
            if task == "feature-extraction":
                mutate(trial, checkpoint, "tokenizer_config.json", keys, IN_TOKENIZERS)
            else:
                pairs = ["sep_token", "cls_token", "bos_token", "eos_token", "truncation_side", "model_input_names"]
                mutate(trial, checkpoint, "tokenizer_config.json", dict.fromkeys(pairs), IN_TOKENIZERS)


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    program, *names = sys.argv[1:]
    kinds = {"sentences": sentences, "cross-encoder": cross_encoder}
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in names or [*kinds, *FAMILY_OF]:
            work = Path(folder) / name
            work.mkdir()
            trial = Trial(program, work)
            if name in kinds:
                kinds[name](trial, work)
            else:
                tokenizer(trial, work, name)
            print(name, dict(trial.counts), f"off by at most {trial.largest:.1e} of scale", flush=True)
            failed |= bool(trial.counts["WRONG"])
            shutil.rmtree(work)
    sys.exit(4 if failed else 0)


if __name__ == "__main__":
    main()
