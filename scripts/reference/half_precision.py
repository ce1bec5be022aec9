"""How near an fp16 export is to the reference in fp32: the cosine similarity of each text's outputs, for texts.py."""

import json
import shutil
import subprocess

import numpy
import onnxruntime
import torch
import transformers
from sentence_transformers import SentenceTransformer
from text_checkpoints import TASKS

COSINE_FLOOR = 0.999
PIPELINE = """name = "model"
task = "{task}"
[source]
path = "{folder}"
[[profiles]]
batch = [1, 2, 32]
sequence = [4, 8, 32]
[export]
precisions = ["fp16"]
"""


def session_of(program, checkpoint, work):
    """The fp16 graph that planforge exports, with the values in fp32 that its samples ask for."""
    task = checkpoint.task.replace("cross-encoder", "text-classification")
    path, output = work / "half.toml", work / "half"
    path.write_text(PIPELINE.format(task=task, folder=checkpoint.folder))
    shutil.rmtree(output, ignore_errors=True)
    command = [program, "export", str(path), "--output", str(output), "--cache", str(work / "cache"), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return onnxruntime.InferenceSession(output / "model/export/onnx-fp16/model.onnx")


def reference_outputs(checkpoint, texts):
    """The inputs of one padded batch, and the outputs for them by name."""
    if checkpoint.task == "sentence-embedding":
        model = SentenceTransformer(str(checkpoint.folder), device="cpu").eval()
        inputs = model.preprocess([model.prompts.get(model.default_prompt_name, "") + text for text in texts])
        inputs = {name: value for name, value in inputs.items() if torch.is_tensor(value)}
        return inputs, {"sentence_embedding": model.forward(dict(inputs))["sentence_embedding"]}
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.folder)
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    model = TASKS[checkpoint.task.replace("cross-encoder", "text-classification")]
    return inputs, model.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()(**inputs)


def least_cosine(program, checkpoint, texts, work):
    """The smallest cosine similarity of any text's output, without its padding."""
    with torch.no_grad():
        inputs, outputs = reference_outputs(checkpoint, texts)
    session = session_of(program, checkpoint, work)
    mask = inputs["attention_mask"].numpy().astype(bool)
    zeros = torch.zeros_like(inputs["input_ids"])
    given = {spec.name: inputs.get(spec.name, zeros).numpy() for spec in session.get_inputs()}
    names = [spec.name for spec in session.get_outputs()]
    compared = [name for name in names if outputs.get(name) is not None]
    if not compared:
        raise RuntimeError(f"{json.dumps(names)} are not outputs of the reference")
    least = 1.0
    for name in compared:
        for found, expected, kept in zip(session.run([name], given)[0], outputs[name].numpy(), mask):
            if found.shape[:1] == kept.shape and name != "sentence_embedding":
                found, expected = found[kept], expected[kept]
            found, expected = found.ravel().astype("f8"), expected.ravel().astype("f8")
            least = min(least, found @ expected / (numpy.linalg.norm(found) * numpy.linalg.norm(expected)))
    return least
