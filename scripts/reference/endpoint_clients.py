"""Clients that invoke an endpoint: boto3, with bodies of `json` or of tritonclient, the AWS CLI, and the AWS SDK for JavaScript."""

import json
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from inference_bodies import BINARY_FORM, JSON_FORM, TRITONCLIENT_FORMS, Body

# Longest wait for one invocation, in seconds.
PATIENCE = 150

# Region and credentials that requests are signed with; the endpoint does not look at them.
REGION, KEY = "eu-central-1", "any"


@dataclass(frozen=True)
class Request:
    """One InvokeEndpoint. Without `attempts`, the client repeats it as often as it does by default."""

    endpoint: str
    target_model: str | None
    body: Body
    attempts: int | None = None

    def fields(self):
        """The members of the operation's input, without the body."""
        fields = {"EndpointName": self.endpoint, "TargetModel": self.target_model}
        present = {name: value for name, value in fields.items() if value is not None}
        return {**present, "ContentType": self.body.content_type}


@dataclass(frozen=True)
class Response:
    """What a client returns. `attempts` are those it made."""

    content: bytes
    content_type: str
    variant: str
    attempts: int


@dataclass(frozen=True)
class ApiError:
    """What a client raises: the classes of the exception, and its members. None for what the client does not report."""

    classes: tuple[str, ...]
    code: str
    message: str
    status: int | None = None
    original_status: int | None = None
    original_message: str | None = None


def ignore(_status):
    """Does nothing with the status of a response."""


class Boto3:
    """boto3."""

    name = "boto3"
    forms = (JSON_FORM, BINARY_FORM)
    reports_status = True

    def __init__(self, address):
        self.address = address

    def invoke(self, request, on_status=ignore):
        """Sends `request`, and calls `on_status` with the status of each response."""
        attempts = {"retries": {"total_max_attempts": request.attempts}} if request.attempts else {}
        client = boto3.client(
            "sagemaker-runtime",
            region_name=REGION,
            endpoint_url=f"http://{self.address}",
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
            config=Config(connect_timeout=10, read_timeout=PATIENCE, **attempts),
        )

        def report(response_dict, **_):
            if response_dict:
                on_status(response_dict["status_code"])

        client.meta.events.register("response-received.sagemaker-runtime.InvokeEndpoint", report)
        try:
            response = client.invoke_endpoint(Body=request.body.content, **request.fields())
            return Response(
                response["Body"].read(),
                response["ContentType"],
                response["InvokedProductionVariant"],
                response["ResponseMetadata"]["RetryAttempts"] + 1,
            )
        except client.exceptions.ClientError as error:
            return api_error_of_boto3(client, error)
        finally:
            client.close()


def api_error_of_boto3(client, error):
    """The members of an exception of boto3."""
    exceptions = vars(client.exceptions)["_code_to_exception"]
    response = error.response
    return ApiError(
        tuple(name for name in exceptions if isinstance(error, getattr(client.exceptions, name))),
        response["Error"]["Code"],
        response["Error"]["Message"],
        response["ResponseMetadata"]["HTTPStatusCode"],
        response.get("OriginalStatusCode"),
        response.get("OriginalMessage"),
    )


class Tritonclient(Boto3):
    """tritonclient, which writes and reads bodies, and boto3, which sends them."""

    name = "tritonclient"
    forms = TRITONCLIENT_FORMS


class AwsCli:
    """The AWS CLI. It reports code and message of an error alone."""

    name = "aws"
    forms = (JSON_FORM, BINARY_FORM)
    reports_status = False

    def __init__(self, address, folder, environment):
        self.address, self.folder, self.environment = address, folder, environment

    def invoke(self, request, on_status=ignore):
        """Sends `request`, and calls `on_status` with the status of each response."""
        body, answer = self.folder / "body", self.folder / "answer"
        body.write_bytes(request.body.content)
        answer.unlink(missing_ok=True)
        watched = on_status is not ignore
        command = [sys.executable, "-m", "awscli", *(["--debug"] if watched else [])]
        command += ["--endpoint-url", f"http://{self.address}", "--cli-read-timeout", str(PATIENCE), "--output", "json"]
        command += ["sagemaker-runtime", "invoke-endpoint", "--body", f"fileb://{body}"]
        for name, value in request.fields().items():
            command += ["--" + re.sub("(?<=.)([A-Z])", r"-\1", name).lower(), value]
        attempts = {"AWS_MAX_ATTEMPTS": str(request.attempts)} if request.attempts else {}
        statuses = []

        def read(line):
            found = re.search(r'"POST /endpoints/\S+ HTTP/1\.1" ([0-9]{3})', line)
            if watched and found:
                statuses.append(int(found[1]))
                on_status(statuses[-1])

        code, stdout, stderr = run([*command, str(answer)], {**self.environment, **attempts}, read)
        if code == 0:
            response = json.loads(stdout)
            made = len(statuses) if watched else 1
            return Response(answer.read_bytes(), response["ContentType"], response["InvokedProductionVariant"], made)
        pattern = r"An error occurred \((\w+)\) when calling the InvokeEndpoint operation(?: \(.*?\))?: (.*)\n\Z"
        found = re.search(pattern, stderr, re.DOTALL)
        if code != 255 or not found or answer.exists():
            raise RuntimeError(f"aws ended with code {code}: {stderr}")
        return ApiError((found[1],), found[1], found[2])


class JavaScript:
    """The AWS SDK for JavaScript, in `sdk`."""

    name = "javascript"
    forms = (JSON_FORM, BINARY_FORM)
    reports_status = True

    def __init__(self, address, sdk, folder, environment):
        self.address, self.sdk, self.folder, self.environment = address, sdk, folder, environment

    def invoke(self, request, on_status=ignore):
        """Sends `request`, and calls `on_status` with the status of each response."""
        body, answer = self.folder / "body", self.folder / "answer"
        body.write_bytes(request.body.content)
        answer.unlink(missing_ok=True)
        files = {"body": str(body), "answer": str(answer)}
        asked = {"address": f"http://{self.address}", "attempts": request.attempts, "input": request.fields(), **files}
        script = Path(__file__).parent / "javascript/invoke.mjs"

        def read(line):
            if line.startswith('{"status":'):
                on_status(json.loads(line)["status"])

        command = ["node", "--no-warnings", str(script), str(self.sdk)]
        code, stdout, stderr = run(command, self.environment, read, json.dumps(asked))
        if code != 0:
            raise RuntimeError(f"node ended with code {code}: {stderr}")
        answered = json.loads(stdout.splitlines()[-1])
        if "response" in answered:
            response = answered["response"]
            variant = response["InvokedProductionVariant"]
            return Response(answer.read_bytes(), response["ContentType"], variant, response["attempts"])
        error = answered["error"]
        return ApiError(
            tuple(error["classes"]),
            error["name"],
            error["message"],
            error.get("status"),
            error.get("OriginalStatusCode"),
            error.get("OriginalMessage"),
        )


def run(command, environment, read, text=""):
    """Exit code, standard output and standard error of a command. `read` is called with each line while it runs, and it is
    ended when it takes longer than [`PATIENCE`]."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env=environment, text=True, errors="replace", **pipes)
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    lines = {"stdout": [], "stderr": []}

    def collect(name):
        for line in getattr(process, name):
            lines[name].append(line)
            read(line)

    threads = [threading.Thread(target=collect, args=(name,)) for name in lines]
    try:
        for thread in threads:
            thread.start()
        process.stdin.write(text)
        process.stdin.close()
        for thread in threads:
            thread.join()
        code = process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
    return code, "".join(lines["stdout"]), "".join(lines["stderr"])
