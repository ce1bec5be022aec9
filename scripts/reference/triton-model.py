"""The peer of planforge's Triton backend in `scripts/bench triton`: a model of Triton's Python backend that runs
`model.onnx` with Python's ONNX Runtime, requests of one execution as one batch, as its authors advise."""

import json
import os

import numpy
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        graph = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        options = onnxruntime.SessionOptions()
        threads = config.get("parameters", {}).get("intra_op_thread_count", {}).get("string_value", "0")
        options.intra_op_num_threads = int(threads)
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        given = [[triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs] for request in requests]
        joined = [numpy.concatenate(tensors) if len(tensors) > 1 else tensors[0] for tensors in zip(*given)]
        found = self.session.run(self.outputs, dict(zip(self.inputs, joined)))
        ends = numpy.cumsum([tensors[0].shape[0] for tensors in given])[:-1]
        parts = [numpy.split(output, ends) for output in found]
        return [
            triton.InferenceResponse([triton.Tensor(name, part) for name, part in zip(self.outputs, own)])
            for own in zip(*parts)
        ]
