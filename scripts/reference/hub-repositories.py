#!/usr/bin/env python3
"""Takes often used repositories of the Hub, in small, through all steps: hub-repositories.py PLANFORGE FOLDER [NAME...]

Makes each repository in FOLDER with random weights, runs planforge from its export to the local endpoint, and compares what
`planforge infer` prints with what the reference's own pipeline gives: sentence-transformers, transformers or timm. Writes the
table of docs/models.md when all repositories were run.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy
import timm
import torch
import transformers
from hub_list import REPOSITORIES
from hub_repositories import TEXTS, make
from PIL import Image
from sentence_transformers import SentenceTransformer

PAGE = Path(__file__).parents[2] / "docs/models.md"
BEGIN, END = "<!-- repositories: written by scripts/hub-repositories -->", "<!-- end of repositories -->"
# Largest difference from the reference, as a part of its largest value.
TOLERANCE = 2e-4
IMAGE_TOLERANCE = 0.01
QUESTION, CONTEXT = "Who lives in london?", "The old cat lives in london and the dog works for a company."

PIPELINE = """name = "model"
task = "{task}"
[source]
path = "model"
[[profiles]]
batch = [1, 2, 4]
{sequence}
[compile]
gpus = ["a10g"]
[package]
platforms = ["onnx", "tensorrt"]
copies = 2
[host]
variant = "onnx-fp32"
memory = "640 MiB"
[load]
stages = [{{ users = 1, seconds = 1 }}]
"""


def is_image(repository):
    """Whether its model is over images."""
    return repository.task.startswith("image-")


def image(folder):
    """A picture with a gradient and an edge, larger than the models take."""
    rows, columns = numpy.mgrid[0:90, 0:120]
    planes = [2 * columns, 255 - 2 * rows, 255 * (rows > columns)]
    path = folder / "picture.png"
    Image.fromarray(numpy.stack(planes, axis=-1).clip(0, 255).astype("uint8")).save(path)
    return path


def reference(repository, folder):
    """What the reference gives for the inputs: names of its numbers, and the numbers for each input."""
    model = str(folder / "model")
    if repository.model == "timm":
        return timm_scores(model, folder)
    if repository.task == "sentence-embedding":
        return SentenceTransformer(model, device="cpu").encode(TEXTS)
    if is_image(repository):
        return image_values(repository, model, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    return text_values(repository, model, tokenizer)


def timm_scores(model, folder):
    """Scores of a model of timm."""
    network = timm.create_model(f"local-dir:{model}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    with torch.no_grad():
        return network(transform(Image.open(folder / "picture.png").convert("RGB"))[None]).numpy()


def image_values(repository, model, folder):
    """Scores or hidden states of a model of transformers over images."""
    processor = transformers.AutoImageProcessor.from_pretrained(model)
    inputs = processor(Image.open(folder / "picture.png"), return_tensors="pt")
    kind = "AutoModelForImageClassification" if repository.task == "image-classification" else "AutoModel"
    with torch.no_grad():
        output = getattr(transformers, kind).from_pretrained(model).eval()(**inputs)
    return getattr(output, "logits", getattr(output, "last_hidden_state", None)).numpy()


def text_values(repository, model, tokenizer):
    """Scores or hidden states of a model of transformers over texts."""
    kinds = {
        "feature-extraction": ("AutoModel", TEXTS),
        "text-classification": ("AutoModelForSequenceClassification", TEXTS),
        "token-classification": ("AutoModelForTokenClassification", TEXTS),
        "fill-mask": ("AutoModelForMaskedLM", masked(tokenizer)),
        "question-answering": ("AutoModelForQuestionAnswering", None),
    }
    kind, texts = kinds[repository.task]
    network = getattr(transformers, kind).from_pretrained(model).eval()
    inputs = (
        tokenizer(texts, padding=True, return_tensors="pt")
        if texts
        else tokenizer(QUESTION, CONTEXT, return_tensors="pt")
    )
    with torch.no_grad():
        output = network(**inputs)
    if repository.task == "question-answering":
        return best_answer(output, inputs)
    if repository.task == "fill-mask":
        places = (inputs["input_ids"] == tokenizer.mask_token_id).int().argmax(-1)
        scores = output.logits[torch.arange(len(places)), places]
        return scores.softmax(-1).topk(5).values.numpy()
    values = getattr(output, "logits", getattr(output, "last_hidden_state", None)).numpy()
    return values


def masked(tokenizer):
    """The texts with their second word to be guessed."""
    return [" ".join([text.split()[0], tokenizer.mask_token, *text.split()[2:]]) for text in TEXTS]


def best_answer(output, inputs):
    """Probability of the likeliest stretch of the context."""
    inside = torch.tensor([index == 1 for index in inputs.sequence_ids(0)])
    start, end = (
        scores[0].masked_fill(~inside, -torch.inf).softmax(-1) for scores in (output.start_logits, output.end_logits)
    )
    products = torch.outer(start, end).triu().tril(29)
    return products.max().reshape(1, 1).numpy()


def inputs_of(repository, folder):
    """Arguments of `planforge infer`."""
    if is_image(repository):
        return ["--image", str(folder / "picture.png")]
    if repository.task == "question-answering":
        return ["--text", QUESTION, "--context", CONTEXT]
    texts = TEXTS
    if repository.task == "fill-mask":
        mask = "[MASK]" if repository.model in ("Bert", "DistilBert", "Electra") else "<mask>"
        texts = [" ".join([text.split()[0], mask, *text.split()[2:]]) for text in TEXTS]
    return [part for text in texts for part in ("--text", text)]


def difference(repository, found, expected):
    """The largest difference, as a part of the largest value; padding is left out."""
    if repository.task in ("fill-mask", "question-answering"):
        rows = [[guess["probability"] for guess in guesses] for guesses in found["guesses"]]
    else:
        rows = found["values"]
    largest = float(numpy.abs(expected).max())
    worst = 0.0
    for row, wanted, tokens in zip(rows, expected, found.get("tokens") or [None] * len(rows), strict=True):
        got, wanted = numpy.array(row), wanted.reshape(-1)
        if tokens is not None:
            kept = len(tokens) * expected.shape[-1]
            got, wanted = got[:kept], wanted[:kept]
        worst = max(worst, float(numpy.abs(got - wanted).max()) / largest)
    return worst


def run(planforge, repository, folder):
    """Takes one repository through the steps; the difference from the reference."""
    sequence = "" if is_image(repository) else "sequence = [4, 8, 32]"
    pipeline = folder / "model.toml"
    pipeline.write_text(PIPELINE.format(task=repository.task, sequence=sequence), encoding="utf-8")

    def command(*arguments):
        ended = subprocess.run([planforge, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            errors = [line for line in ended.stderr.splitlines() if line.startswith("error")]
            raise RuntimeError(f"{arguments[0]}: {errors[0] if errors else ended.stderr.strip()}")
        return ended.stdout

    found = json.loads(command("infer", "model.toml", "--json", *inputs_of(repository, folder)))
    worst = difference(repository, found, reference(repository, folder))
    if worst > (IMAGE_TOLERANCE if is_image(repository) else TOLERANCE):
        raise RuntimeError(f"infer: differs from the reference by {worst:.1e} of the largest value")
    command("run", "model.toml", "--quiet")
    return worst


def bound(worst):
    """The power of ten above a difference; its digits are those of this machine."""
    return f"< 1e{math.floor(math.log10(worst)) + 1}" if worst > 0 else "0"


def table(rows):
    """The page with the table replaced."""
    text = PAGE.read_text(encoding="utf-8")
    head = f"{BEGIN}\n\n| repository | task | difference from the reference |\n|---|---|---|\n"
    lines = "\n".join(f"| {repository.name} | `{repository.task}` | {worst} |" for repository, worst in rows)
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(f"{before}{head}{lines}\n\n{END}{after}", encoding="utf-8")


def main():
    planforge, root, *names = sys.argv[1:]
    rows, failed = [], 0
    for seed, repository in enumerate(REPOSITORIES):
        if names and repository.name not in names:
            continue
        folder = Path(root) / repository.name
        make(repository, folder / "model", seed)
        if is_image(repository):
            image(folder)
        try:
            worst = bound(run(planforge, repository, folder))
        except (RuntimeError, OSError, ValueError) as error:
            worst, failed = f"fails: {str(error).splitlines()[0]}", failed + 1
        print(f"{repository.name}: {worst}", flush=True)
        rows.append((repository, worst))
    if failed:
        sys.exit(f"{failed} of {len(rows)} repositories fail")
    if not names:
        table(rows)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
