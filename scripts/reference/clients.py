#!/usr/bin/env python3
"""Invokes the local endpoint by clients that users have, and compares what they return with ONNX Runtime.

    clients.py PLANFORGE JAVASCRIPT [CONTAINER...]

PLANFORGE is the program, JAVASCRIPT a folder with the AWS SDK for JavaScript. Each CONTAINER (`embedded` and `triton` unless
named) serves two copies of all-MiniLM-L6-v2 in turn. Prints a line for each client and check; ends with 1 if one failed.
"""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path

import numpy as np
import onnxruntime
from endpoint_checks import Model, Wrong, checks_of, difference
from endpoint_clients import KEY, REGION, AwsCli, Boto3, JavaScript, Tritonclient
from local_endpoint import local_endpoint, planforge

ROOT = Path(__file__).parents[2]
NAME = "all-MiniLM-L6-v2"
CONTAINERS = ["embedded", "triton"]
PIPELINE = """name = "all-MiniLM-L6-v2"
task = "sentence-embedding"

[source]
repo = "sentence-transformers/all-MiniLM-L6-v2"

[[profiles]]
batch = [1, 16, 32]
sequence = [8, 128, 256]

[export]
precisions = ["fp32"]

[package]
platforms = ["onnx"]
onnx_backend = "planforge"
copies = 2

[host]
memory = "4 GiB"
"""

# What a check may raise, besides the fault that it looks for.
FAILURES = (Wrong, OSError, RuntimeError, ValueError, KeyError, IndexError, subprocess.SubprocessError)


class Results:
    """Prints and counts results."""

    def __init__(self):
        self.passed = self.count = 0

    def check(self, container, client, name, check):
        """Runs one check."""
        self.count += 1
        try:
            result, found = "ok", check()
        except FAILURES as error:
            result, found = "FAILED", f"{type(error).__name__}: {error}"
        self.passed += result == "ok"
        print(f"{result:6} {container:8} {client:12} {name}: {found}", flush=True)


def model_of(folder):
    """The model with ten sentences, padded to the longest, and what ONNX Runtime's own Python package computes of them."""
    record = json.loads((ROOT / f"fixtures/{NAME}/sentence-embeddings.json").read_text(encoding="utf-8"))
    tokens = [sentence["input_ids"] for sentence in record["sentences"]]
    ids = np.array(list(zip_longest(*tokens, fillvalue=0)), np.int64).T.copy()
    mask = np.array(list(zip_longest(*[[1] * len(row) for row in tokens], fillvalue=0)), np.int64).T.copy()
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    session = onnxruntime.InferenceSession(folder / f"planforge-out/{NAME}/export/onnx-fp32/model.onnx")
    names = [output.name for output in session.get_outputs()]
    expected = dict(zip(names, session.run(names, inputs), strict=True))
    reference = np.array([sentence["sentence_embedding"] for sentence in record["sentences"]])
    model = Model(NAME, [f"{NAME}-v{copy}.tar.gz" for copy in range(2)], inputs, expected)
    return model, reference


def agree(model, reference):
    """ONNX Runtime and transformers compute the same embeddings."""
    return difference(model.expected, {"sentence_embedding": reference})


def versions(program, javascript):
    """One line with the versions of all clients and of planforge."""
    python = [
        f"{name} {importlib.metadata.version(name)}" for name in ("boto3", "awscli", "tritonclient", "onnxruntime")
    ]
    installed = (javascript / "node_modules/@aws-sdk/client-sagemaker-runtime/package.json").read_text(encoding="utf-8")
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    sdk = f"@aws-sdk/client-sagemaker-runtime {json.loads(installed)['version']} on Node.js {node}"
    server = planforge(program, "--version", folder=ROOT).splitlines()[0]
    return ", ".join([server, *python, sdk])


def isolate(home):
    """Hides the caller's configuration of AWS and proxies from this process and those that it starts."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            del os.environ[name]
    # Files of the AWS CLI and of the SDKs would be below the home folder.
    os.environ.update(HOME=str(home), AWS_EC2_METADATA_DISABLED="true")


def run(program, javascript, containers, folder):
    """All checks; the results."""
    isolate(folder)
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": KEY, "AWS_DEFAULT_REGION": REGION}
    (folder / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    planforge(program, "publish", "pipeline.toml", folder=folder)
    model, reference = model_of(folder)
    results = Results()
    results.check("-", "onnxruntime", "embeddings of transformers", lambda: agree(model, reference))
    for container in containers:
        with local_endpoint(program, "pipeline.toml", container, folder) as address:
            clients = [
                Boto3(address),
                Tritonclient(address),
                AwsCli(address, folder, environment),
                JavaScript(address, javascript, folder, environment),
            ]
            for client in clients:
                for name, check in checks_of(client, model, address):
                    results.check(container, client.name, name, check)
    return results


def main():
    program, javascript, *containers = sys.argv[1:]
    program, javascript = str(Path(program).resolve()), Path(javascript).resolve()
    # So that the endpoint is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(versions(program, javascript), file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=".clients-", dir=os.environ["PLANFORGE_NATIVE_DIR"]) as folder:
        results = run(program, javascript, containers or CONTAINERS, Path(folder))
    print(f"{results.passed} of {results.count} checks passed")
    sys.exit(results.passed != results.count)


if __name__ == "__main__":
    main()
