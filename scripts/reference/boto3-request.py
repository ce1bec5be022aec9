#!/usr/bin/env python3
"""Records the bytes that boto3 sends for InvokeEndpoint on a multi-model endpoint.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/boto3-request.py

A socket on 127.0.0.1 stands for the service, takes the request, and answers; what came in is written to
fixtures/sagemaker-runtime/boto3-invoke-endpoint.http. The credentials are the well-known examples of AWS's
documentation. The body is the first sentence of sentence-embeddings.json.
"""

import json
import re
import socket
import threading
from pathlib import Path

import boto3

FIXTURES = Path(__file__).parents[2] / "fixtures"


def body() -> bytes:
    record = json.loads((FIXTURES / "all-MiniLM-L6-v2/sentence-embeddings.json").read_text(encoding="utf-8"))
    ids = record["sentences"][0]["input_ids"]
    values = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": [0] * len(ids)}
    inputs = [
        {"name": name, "shape": [1, len(ids)], "datatype": "INT64", "data": data} for name, data in values.items()
    ]
    return json.dumps({"inputs": inputs, "outputs": [{"name": "sentence_embedding"}]}).encode()


def serve(listener: socket.socket, received: list[bytes]) -> None:
    connection, _ = listener.accept()
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    length = int(next(line.split(":")[1] for line in lines if line.lower().startswith("content-length")))
    while len(rest) < length:
        rest += connection.recv(65536)
    received.append(head + b"\r\n\r\n" + rest)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
    connection.close()


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    received: list[bytes] = []
    thread = threading.Thread(target=serve, args=(listener, received))
    thread.start()
    client = boto3.client(
        "sagemaker-runtime",
        region_name="eu-central-1",
        endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    )
    client.invoke_endpoint(
        EndpointName="all-MiniLM-L6-v2",
        TargetModel="all-MiniLM-L6-v2-v0.tar.gz",
        ContentType="application/json",
        Body=body(),
    )
    thread.join()
    target = FIXTURES / "sagemaker-runtime/boto3-invoke-endpoint.http"
    target.parent.mkdir(parents=True, exist_ok=True)
    # The kernel's release has nothing to do with boto3, and the signature does not cover this header.
    target.write_bytes(re.sub(rb"os/linux#\S+", b"os/linux#6.1", received[0]))
    print(target)


if __name__ == "__main__":
    main()
