#!/usr/bin/env python3
"""Compares `planforge infer` with the reference's own way from texts to results: texts.py PLANFORGE [FAMILY|TASK...]

For every text family and task, small random checkpoints (text_checkpoints.py) and the same texts: of many scripts, of mixed
lengths in one padded batch, one longer than the maximum, and pairs. The references are `transformers.pipeline`, a model of
transformers for questions (release 5 has no pipeline for them), `SentenceTransformer.encode` and `CrossEncoder.predict`;
each text goes through them alone, without padding. Values may differ by 2e-4 of the largest, probabilities by 1e-4; the
outputs of an fp16 export need a cosine similarity of 0.999 for each text. Prints a line for each comparison and their
number; ends with 4 where one does not hold.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
import transformers
from half_precision import COSINE_FLOOR, least_cosine
from sentence_transformers import CrossEncoder, SentenceTransformer
from text_checkpoints import FAMILIES, TOKENIZERS, Maker, plain_checkpoints, sentence_checkpoints

OF_VALUES, OF_PROBABILITIES = 2e-4, 1e-4
GUESSES, LONGEST_ANSWER = 5, 30
LINES = json.loads((TOKENIZERS / "lines.json").read_text(encoding="utf-8"))
LONG = "the cats don't hello world naïve 3.14 " * 12
# Two lines of each script, none, spaces alone, and one that is longer than the maximum.
TEXTS = [LINES[number] for number in range(100, 144)][::2] + ["hello world", "", " ", LONG]
PAIRS = [
    *zip(TEXTS[:8], TEXTS[8:16]),
    ("the cats", "running"),
    ("", "hello"),
    (LONG, "world"),
    ("the cats", LONG),
    (LONG, LONG),
]
TRUNCATED = {"truncation": True}


class Refused(RuntimeError):
    """Why the program gives no result."""


class Infer:
    """Runs the program."""

    def __init__(self, program, work):
        self.program, self.work = str(Path(program).resolve()), work

    def __call__(self, checkpoint, texts, contexts=()):
        task = checkpoint.task.replace("cross-encoder", "text-classification")
        pipeline = self.work / "model.toml"
        profile = "[[profiles]]\nbatch = [1, 2, 4]\nsequence = [4, 8, 32]\n"
        pipeline.write_text(f'name = "model"\ntask = "{task}"\n[source]\npath = "{checkpoint.folder}"\n{profile}')
        arguments = [f"--text={text}" for text in texts] + [f"--context={text}" for text in contexts]
        command = [self.program, "infer", str(pipeline), "--json", "--cache", str(self.work / "cache"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Refused(done.stderr.strip())
        return json.loads(done.stdout)


class Difference:
    """The largest differences seen over all texts, and what is not equal."""

    def __init__(self):
        self.values, self.scores = Scaled(), Scaled()
        self.probabilities = 0.0
        self.unequal = []

    def compare_values(self, found, expected):
        found, expected = numpy.asarray(found, "f8").ravel(), numpy.asarray(expected, "f8").ravel()
        if found.shape == expected.shape:
            self.values.add(found, expected)
        else:
            self.unequal.append(f"{found.size} values instead of {expected.size}")

    def compare_guesses(self, found, expected, key="probability"):
        """Guesses with the largest number first; where two numbers are nearly equal, their order may differ."""
        if len(found) != len(expected) or any(key not in guess for guess in found):
            self.unequal.append(f"{found} instead of {expected}")
            return
        numbers = [number for _, number in expected]
        for place, (guess, (text, number)) in enumerate(zip(found, expected)):
            if key == "score":
                self.scores.add(numpy.array([guess[key]]), numpy.array([number]))
            else:
                self.probabilities = max(self.probabilities, abs(guess[key] - number))
            near = [other for index, other in enumerate(numbers) if index != place and abs(other - number) < 1e-3]
            if guess["text"] != text and not near and place < GUESSES - 1:
                self.unequal.append(f"`{guess['text']}` instead of `{text}`")

    def compare_texts(self, found, expected):
        if found != expected:
            self.unequal.append(f"{found} instead of {expected}")

    def holds(self):
        is_near = self.values.error() <= OF_VALUES and self.scores.error() <= OF_VALUES
        return is_near and self.probabilities <= OF_PROBABILITIES and not self.unequal


class Scaled:
    """The largest difference and the largest value."""

    def __init__(self):
        self.difference, self.scale = 0.0, 1e-6

    def add(self, found, expected):
        self.difference = max(self.difference, abs(found - expected).max(initial=0))
        self.scale = max(self.scale, abs(expected).max(initial=0))

    def error(self):
        return self.difference / self.scale


def pipeline(checkpoint, **options):
    return transformers.pipeline(checkpoint.task, model=str(checkpoint.folder), device="cpu", **options)


def features(checkpoint, infer):
    reference, difference = pipeline(checkpoint, tokenize_kwargs=TRUNCATED), Difference()
    # Padding before a text moves its tokens to other positions.
    is_alone = reference.tokenizer.padding_side == "left"
    for texts in [[text] for text in TEXTS] if is_alone else [TEXTS]:
        found = infer(checkpoint, texts)
        width = found["shape"][-1]
        for text, values, tokens in zip(texts, found["values"], found["tokens"]):
            difference.compare_values(values[: len(tokens) * width], reference(text)[0])
    yield "texts", difference


def sentences(checkpoint, infer):
    reference, difference = SentenceTransformer(str(checkpoint.folder), device="cpu"), Difference()
    for text, values in zip(TEXTS, infer(checkpoint, TEXTS)["values"]):
        difference.compare_values(values, reference.encode([text])[0])
    yield "texts", difference


def by_label(reference, text, function):
    """Numbers of the labels, in their order."""
    given = text if isinstance(text, str) else {"text": text[0], "text_pair": text[1]}
    found = reference(given, top_k=None, function_to_apply=function, **TRUNCATED)
    names = {label: number for number, label in reference.model.config.id2label.items()}
    rows = found[0] if isinstance(found[0], list) else found
    return [row["score"] for row in sorted(rows, key=lambda row: names[row["label"]])]


def classes(checkpoint, infer):
    reference = pipeline(checkpoint)
    key = "score" if checkpoint.kind.startswith("regression") else "probability"
    names = reference.model.config.id2label
    yield from compare_scores(checkpoint, infer, names, key, lambda text, raw: by_label(reference, text, raw))


def cross_encoder(checkpoint, infer):
    """As `predict` has it: its numbers are of the activation that the checkpoint names, or of its default."""
    reference = CrossEncoder(str(checkpoint.folder), device="cpu")
    is_raw = isinstance(reference.activation_fn, torch.nn.Identity)

    def numbers(text, raw):
        options = {"activation_fn": torch.nn.Identity()} if raw else {}
        return numpy.atleast_1d(reference.predict([text], **options)[0]).tolist()

    names = reference.model.config.id2label
    yield from compare_scores(checkpoint, infer, names, "score" if is_raw else "probability", numbers)


def compare_scores(checkpoint, infer, names, key, numbers):
    single = [("texts", TEXTS, infer(checkpoint, TEXTS))] if checkpoint.task == "text-classification" else []
    pairs = ("pairs", PAIRS, infer(checkpoint, *zip(*PAIRS)))
    for what, texts, found in [*single, pairs]:
        difference = Difference()
        difference.compare_texts(found["labels"], list(names.values()))
        for text, values, guesses in zip(texts, found["values"], found["guesses"]):
            difference.compare_values(values, numbers(text, "none"))
            expected = sorted(zip(names.values(), numbers(text, None)), key=lambda entry: -entry[1])
            difference.compare_guesses(guesses, expected, key)
        yield what, difference


def token_classes(checkpoint, infer):
    reference, difference = pipeline(checkpoint, ignore_labels=[]), Difference()
    found = infer(checkpoint, TEXTS)
    labels = found["labels"]
    for text, values, tokens in zip(TEXTS, found["values"], found["tokens"]):
        scores = torch.tensor(values).reshape(-1, len(labels)).softmax(-1)
        special = reference.tokenizer(text, return_special_tokens_mask=True, **TRUNCATED)["special_tokens_mask"]
        own = [(token, row) for token, row, is_special in zip(tokens, scores, special) if not is_special]
        expected = reference(text)
        difference.compare_texts(len(own), len(expected))
        for (token, row), entity in zip(own, expected):
            guess = {"text": labels[int(row.argmax())], "probability": row.max().item()}
            difference.compare_guesses([guess], [(entity["entity"], float(entity["score"]))])
            if token != reference.tokenizer.unk_token:
                difference.compare_texts(token, entity["word"])
    yield "texts", difference


def masked_words(checkpoint, infer):
    reference, difference = pipeline(checkpoint, top_k=GUESSES, tokenizer_kwargs=TRUNCATED), Difference()
    mask = reference.tokenizer.mask_token
    plain = [text for text in TEXTS[:-1] if "mask" not in text.lower()]
    texts = [f"{text} {mask} {other}" for text, other in zip(plain, [*plain[1:], LONG])]
    for text, guesses in zip(texts, infer(checkpoint, texts)["guesses"]):
        expected = [(row["token_str"].strip(), row["score"]) for row in reference(text)]
        difference.compare_guesses(guesses, expected)
    yield "texts", difference


def answers(checkpoint, infer):
    """The stretch of the second text with the largest product of probabilities."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.folder)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(checkpoint.folder).eval()
    pairs = [pair for pair in PAIRS if pair[1].strip()]
    difference = Difference()
    for (question, context), guesses in zip(pairs, infer(checkpoint, *zip(*pairs))["guesses"]):
        encoded = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True, **TRUNCATED)
        offsets = encoded.pop("offset_mapping")[0].tolist()
        outside = torch.tensor([number != 1 for number in encoded.sequence_ids(0)])
        with torch.no_grad():
            output = model(**encoded)
        starts, ends = (
            scores[0].masked_fill(outside, -torch.inf).softmax(-1)
            for scores in (output.start_logits, output.end_logits)
        )
        spans = (starts[:, None] * ends[None, :]).triu().tril(LONGEST_ANSWER - 1)
        first, last = divmod(int(spans.argmax()), len(offsets))
        expected = (context[offsets[first][0] : offsets[last][1]], spans.max().item())
        best = spans.flatten().topk(2).values
        if best[0] - best[1] < 1e-5:
            expected = (guesses[0]["text"], expected[1])
        difference.compare_guesses(guesses, [expected])
    yield "pairs", difference


COMPARISONS = {
    "feature-extraction": features,
    "sentence-embedding": sentences,
    "text-classification": classes,
    "cross-encoder": cross_encoder,
    "token-classification": token_classes,
    "fill-mask": masked_words,
    "question-answering": answers,
}


def compare(checkpoint, infer):
    """Prints the comparisons of a checkpoint, and returns whether each holds, and the cosine similarity in fp16."""
    try:
        results = list(COMPARISONS[checkpoint.task](checkpoint, infer))
    except Refused as error:
        print(f"{checkpoint.name}: FAILED {error}", flush=True)
        return [False], 1.0
    for what, difference in results:
        verdict = "equal" if difference.holds() else f"WRONG {'; '.join(difference.unequal[:3])}"
        values = max(difference.values.error(), difference.scores.error())
        numbers = f"values {values:.1e}, probabilities {difference.probabilities:.1e}"
        print(f"{checkpoint.name} {what}: {numbers}: {verdict}", flush=True)
    cosine = least_cosine(infer.program, checkpoint, [text for text in TEXTS if text.strip()], infer.work)
    is_near = cosine >= COSINE_FLOOR
    print(f"{checkpoint.name} fp16: cosine {cosine:.7f}: {'near' if is_near else 'WRONG'}", flush=True)
    return [*(difference.holds() for _, difference in results), is_near], cosine


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    program, *names = sys.argv[1:]
    families = [name for name in FAMILIES if not set(names) & set(FAMILIES) or name in names]
    tasks = [task for task in COMPARISONS if not set(names) & set(COMPARISONS) or task in names]
    checkpoints, held, least = 0, [], 1.0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        maker, infer = Maker(work / "checkpoints"), Infer(program, work)
        for family in families:
            for made in (plain_checkpoints, sentence_checkpoints):
                for checkpoint in made(maker, family, tasks):
                    holds, cosine = compare(checkpoint, infer)
                    held, least, checkpoints = held + holds, min(least, cosine), checkpoints + 1
            shutil.rmtree(work / "checkpoints")
    wrong = held.count(False)
    print(f"{checkpoints} checkpoints, {len(held)} comparisons, {wrong} wrong; fp16 cosine at least {least:.7f}")
    sys.exit(4 if wrong else 0)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
