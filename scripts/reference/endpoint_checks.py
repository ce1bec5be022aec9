"""The suite that every client of an endpoint passes. A check returns what it found, or raises [`Wrong`]."""

import json
from dataclasses import dataclass

import numpy as np
from endpoint_clients import ApiError, Request, Response
from inference_bodies import BINARY, BINARY_FORM, JSON_FORM, Body
from local_endpoint import Occupied

# Largest absolute difference of an output from ONNX Runtime's.
TOLERANCE = 1e-5

# SageMaker's default name of the only variant of an endpoint.
VARIANT = "AllTraffic"

# Largest body that SageMaker takes.
MAX_BODY_BYTE_COUNT = 6 * 1024 * 1024


class Wrong(Exception):
    """A client returned something else than it should."""


@dataclass(frozen=True)
class Model:
    """The served model: its copies, inputs, and what ONNX Runtime computes of them."""

    endpoint: str
    copies: list[str]
    inputs: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]

    def body(self, form=JSON_FORM):
        """A request for all outputs."""
        return form.encode(self.inputs, list(self.expected))

    def request(self, body, **changes):
        """An invocation of the first copy."""
        return Request(**{"endpoint": self.endpoint, "target_model": self.copies[0], "body": body, **changes})


@dataclass(frozen=True)
class Mistake:
    """A request that is refused, and how. `original` is the text of the container's error for a `ModelError`."""

    name: str
    request: Request
    code: str
    status: int
    message: str = ""
    original: str | None = None


def checks_of(client, model, address):
    """Names and functions of all checks of a client."""
    for form in client.forms:
        for copy in model.copies:
            yield f"{form.name}, {copy}", lambda form=form, copy=copy: answers(client, model, form, copy)
    for mistake in mistakes(model):
        yield mistake.name, lambda mistake=mistake: is_refused(client, mistake)
    yield "no connection is free, one attempt", lambda: is_refused_when_full(client, model, address)
    yield "no connection is free, default attempts", lambda: repeats(client, model, address)


def answers(client, model, form, copy):
    """The response has SageMaker's fields and the values of ONNX Runtime."""
    request = model.request(model.body(form), target_model=copy)
    return has_values(client.invoke(request), request, model, form)


def has_values(response, request, model, form):
    """Compares the outputs of a response."""
    if not isinstance(response, Response):
        raise Wrong(f"{response}; expected a response")
    equal("InvokedProductionVariant", response.variant, VARIANT)
    outputs = form.decode(response.content, response.content_type)
    equal("model_name", outputs.model_name, request.target_model)
    equal("outputs", sorted(outputs.arrays), sorted(model.expected))
    for name, expected in model.expected.items():
        found = outputs.arrays[name]
        equal(f"type of {name}", found.dtype, expected.dtype)
        equal(f"shape of {name}", found.shape, expected.shape)
    return f"{difference(outputs.arrays, model.expected)}, {response.content_type}"


def difference(found, expected):
    """The largest absolute difference of arrays of the same names, which must not exceed the tolerance. NaN does."""
    largest = np.max([np.abs(found[name] - array).max() for name, array in expected.items()])
    if not largest <= TOLERANCE:
        raise Wrong(f"largest difference {largest:.1e}; expected at most {TOLERANCE}")
    return f"largest difference {largest:.1e}"


def mistakes(model):
    """Requests that SageMaker or Triton refuse."""
    good, binary = model.body(), model.body(BINARY_FORM)
    renamed = {("ids" if name == "input_ids" else name): array for name, array in model.inputs.items()}
    many = {name: np.repeat(array[:1], 33, axis=0) for name, array in model.inputs.items()}
    beyond = len(binary.content) + 1
    validation, model_error = ("ValidationError", 400), ("ModelError", 424)
    return [
        Mistake("unknown endpoint", model.request(good, endpoint="other"), *validation, "Endpoint other of account"),
        Mistake("unknown target model", model.request(good, target_model="no.tar.gz"), *validation, "no.tar.gz"),
        Mistake("missing target model", model.request(good, target_model=None), *validation, "target model"),
        Mistake(
            "body of more than 6 MiB",
            model.request(Body(b" " * (MAX_BODY_BYTE_COUNT + 1))),
            *validation,
            f"{MAX_BODY_BYTE_COUNT}",
        ),
        Mistake(
            "body is not JSON",
            model.request(Body(good.content[:-1])),
            *model_error,
            original="failed to parse the request JSON buffer: ",
        ),
        Mistake(
            "unknown input",
            model.request(JSON_FORM.encode(renamed, list(model.expected))),
            *model_error,
            original=f"unexpected inference input 'ids' for model '{model.copies[0]}'",
        ),
        Mistake(
            "batch of 33",
            model.request(JSON_FORM.encode(many, list(model.expected))),
            *model_error,
            original="inference request batch-size must be <= 32 for ",
        ),
        Mistake(
            "header is longer than the body",
            model.request(Body(binary.content, f"{BINARY}{beyond}")),
            *model_error,
            original=f"inference header size should be in range (0, {beyond - 1}), got: {beyond}",
        ),
        Mistake(
            "raw bytes are cut",
            model.request(Body(binary.content[:-1], binary.content_type)),
            *model_error,
            original="unexpected size for input 'token_type_ids', expecting 1 additional bytes for model ",
        ),
    ]


def is_refused(client, mistake):
    """The client raises the exception of SageMaker, with all members that it reports."""
    error = client.invoke(mistake.request)
    if not isinstance(error, ApiError):
        raise Wrong(f"{error}; expected {mistake.code}")
    equal("code", error.code, mistake.code)
    if mistake.code not in error.classes:
        raise Wrong(f"an exception of {error.classes}; expected {mistake.code}")
    if mistake.message not in error.message:
        raise Wrong(f"message `{error.message}`; expected `{mistake.message}` in it")
    if client.reports_status:
        equal("status", error.status, mistake.status)
        original_status = None if mistake.original is None else 400
        equal("OriginalStatusCode", error.original_status, original_status)
    if mistake.original is None:
        equal("OriginalMessage", error.original_message, None)
        return f"{error.code}: {error.message}"
    return f"{error.code}: {container_error(client, error, mistake.original)}"


def container_error(client, error, expected):
    """The text of the container's error, which is in SageMaker's message and, for most clients, in a member of its own."""
    begin, end = 'Received client error (400) from primary with message "', '"'
    if not (error.message.startswith(begin) and error.message.endswith(end)):
        raise Wrong(f"message `{error.message}`; expected `{begin}…{end}`")
    original = error.message.removeprefix(begin).removesuffix(end)
    if client.reports_status:
        equal("OriginalMessage", error.original_message, original)
    text = json.loads(original)["error"]
    if expected not in text:
        raise Wrong(f"the container's error `{text}`; expected `{expected}` in it")
    return text


def is_refused_when_full(client, model, address):
    """A client that makes one attempt raises `ServiceUnavailable`."""
    request = model.request(model.body(), attempts=1)
    with Occupied(address):
        return is_refused(client, Mistake("", request, "ServiceUnavailable", 503))


def repeats(client, model, address):
    """A client tries again by default after the status 503, and gets its response once connections are free."""
    statuses = []
    with Occupied(address) as occupied:

        def free(status):
            statuses.append(status)
            occupied.release()

        request = model.request(model.body())
        response = client.invoke(request, free)
    has_values(response, request, model, JSON_FORM)
    equal("first and last status", (statuses[0], statuses[-1]), (503, 200))
    equal("attempts", response.attempts, len(statuses))
    return f"a response at attempt {response.attempts}"


def equal(what, found, expected):
    """Raises [`Wrong`] unless both are equal."""
    if found != expected:
        raise Wrong(f"{what} `{found}`; expected `{expected}`")
