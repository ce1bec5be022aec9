"""Bodies of requests and responses in the forms of KServe v2: JSON, and JSON before raw bytes, of `json` and of tritonclient."""

import json
import re
from dataclasses import dataclass

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

JSON = "application/json"
BINARY = "application/vnd.sagemaker-triton.binary+json;json-header-size="

# KServe's names of the element types that occur here.
ELEMENT_TYPES = {"INT64": np.int64, "FP32": np.float32}


@dataclass(frozen=True)
class Body:
    """A request's body and its content type."""

    content: bytes
    content_type: str = JSON


@dataclass(frozen=True)
class Outputs:
    """What a response holds: the name of the model that computed it, and its arrays."""

    model_name: str
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Form:
    """Which of the tensors of a request and its response are raw bytes, and what writes and reads them."""

    name: str
    binary_inputs: bool
    binary_outputs: bool
    by_tritonclient: bool = True

    def encode(self, inputs, outputs):
        """The request for `outputs` of the arrays `inputs`."""
        if self.by_tritonclient:
            return encode_by_tritonclient(inputs, outputs, self)
        tensors = [
            {"name": name, "datatype": "INT64", "shape": list(array.shape), "data": array.ravel().tolist()}
            for name, array in inputs.items()
        ]
        request = {"inputs": tensors, "outputs": [{"name": name} for name in outputs]}
        return Body(json.dumps(request).encode())

    def decode(self, content, content_type):
        """The outputs of a response, which must have the content type of this form."""
        header = header_byte_count(content_type)
        if (header is not None) != self.binary_outputs:
            raise ValueError(f"content type `{content_type}`; expected {BINARY if self.binary_outputs else JSON}")
        if self.by_tritonclient:
            result = InferenceServerClient.parse_response_body(content, header_length=header)
            response = result.get_response()
            arrays = {output["name"]: result.as_numpy(output["name"]) for output in response["outputs"]}
        else:
            response = json.loads(content)
            arrays = {
                output["name"]: np.array(output["data"], ELEMENT_TYPES[output["datatype"]]).reshape(output["shape"])
                for output in response["outputs"]
            }
        return Outputs(response["model_name"], arrays)


JSON_FORM = Form("JSON", False, False, by_tritonclient=False)
BINARY_FORM = Form("binary", True, True)
TRITONCLIENT_FORMS = [
    Form("JSON", False, False),
    Form("JSON, binary response", False, True),
    Form("binary, JSON response", True, False),
    BINARY_FORM,
]


def encode_by_tritonclient(inputs, outputs, form):
    """The request as tritonclient writes it."""
    tensors = []
    for name, array in inputs.items():
        tensor = InferInput(name, array.shape, "INT64")
        tensor.set_data_from_numpy(array, binary_data=form.binary_inputs)
        tensors.append(tensor)
    wanted = [InferRequestedOutput(name, binary_data=form.binary_outputs) for name in outputs]
    content, header = InferenceServerClient.generate_request_body(tensors, outputs=wanted)
    return Body(content, JSON if header is None else f"{BINARY}{header}")


def header_byte_count(content_type):
    """Length of the JSON before raw bytes; None for a body of JSON alone."""
    if content_type == JSON:
        return None
    found = re.fullmatch(f"{re.escape(BINARY)}([0-9]+)", content_type)
    if not found:
        raise ValueError(f"content type `{content_type}`; expected {JSON} or {BINARY}N")
    return int(found[1])
