#!/usr/bin/env python3
"""Makes the ONNX files of fixtures/graphs as other tools write them, and what ONNX's reference evaluator computes with them.

    scripts/reference/python > /dev/null && "$(scripts/reference/python)" scripts/reference/other-graphs.py

Each folder has `own.toml`, `model` and either `expected.json` or `refused.json`. The first has the name of an output and its
values for TEXTS together, or for the pixels of ones.png; the second the words of the error. Texts have the tokens of
fixtures/graphs/tokenizer.json, which tests copy into `model`.
"""

import json
import shutil
from pathlib import Path

import numpy
import onnx
import tokenizers
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from PIL import Image

TARGET = Path(__file__).parents[2] / "fixtures/graphs"
TEXTS = ["the cat sat on the mat", "a dog ran"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "mat", "a", "dog", "ran"]
WIDTH, LABELS = 8, 3


def write_tokenizer():
    model = tokenizers.models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(TARGET / "tokenizer.json"), pretty=False)
    tokenizer.enable_padding(pad_id=0)
    return tokenizer


def weight(name, *shape, kind="f4"):
    generator = numpy.random.default_rng(len(name))
    return numpy_helper.from_array((generator.standard_normal(shape) * 0.3).astype(kind), name)


def model_of(nodes, inputs, outputs, weights, opset=17, domains=()):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(*domain) for domain in domains]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    model.producer_name = ""
    onnx.checker.check_model(model, full_check=True)
    return model


def classifier(dims, ids=T.INT64, mask=T.INT64, names=("input_ids", "attention_mask"), kind=T.FLOAT, tokens=False):
    """Mean of the tokens' embeddings under the mask, and scores of it; with `tokens`, the embeddings and the mean."""
    numpy_kind = helper.tensor_dtype_to_np_dtype(kind)
    nodes = [
        helper.make_node("Cast", [names[0]], ["numbers"], to=T.INT64),
        helper.make_node("Gather", ["embeddings", "numbers"], ["token_embeddings"]),
        helper.make_node("Cast", [names[1]], ["kept"], to=kind),
        helper.make_node("Unsqueeze", ["kept", "last"], ["column"]),
        helper.make_node("Mul", ["token_embeddings", "column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "second"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["kept", "second"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["sentence_embedding"]),
    ]
    axes = [numpy_helper.from_array(numpy.array([axis]), name) for name, axis in (("last", 2), ("second", 1))]
    weights = [weight("embeddings", len(WORDS), WIDTH, kind=numpy_kind), *axes]
    value = helper.make_tensor_value_info
    inputs = [value(names[0], ids, dims), value(names[1], mask, dims)]
    if tokens:
        outputs = [value("token_embeddings", kind, [*dims, WIDTH]), value("sentence_embedding", kind, [dims[0], WIDTH])]
    else:
        nodes.append(helper.make_node("MatMul", ["sentence_embedding", "head"], ["logits"]))
        weights.append(weight("head", WIDTH, LABELS, kind=numpy_kind))
        outputs = [value("logits", kind, [dims[0], LABELS])]
    return model_of(nodes, inputs, outputs, weights)


def image_classifier(dims, planes=True, shared=False, output="logits", batch=None):
    """A convolution, the mean over the pixels, and scores; with `shared`, the bias of one of two convolutions is the other's."""
    nodes = [] if planes else [helper.make_node("Transpose", ["input:0"], ["planes"], perm=[0, 3, 1, 2])]
    given = "input:0" if planes else "planes"
    if shared:
        nodes += [
            helper.make_node("Identity", ["first.bias"], ["second.bias"]),
            helper.make_node("Conv", [given, "first", "first.bias"], ["b"], kernel_shape=[1, 1]),
        ]
    bias = ["second.bias"] if shared else []
    nodes += [
        helper.make_node("Conv", ["b" if shared else given, "kernel", *bias], ["c"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], [output]),
    ]
    value = helper.make_tensor_value_info
    weights = [weight("kernel", 4, 4 if shared else 3, 3, 3), weight("w", 4, 2)]
    weights += [weight("first", 4, 3, 1, 1), weight("first.bias", 4)] if shared else []
    given, scores = [value("input:0", T.FLOAT, dims)], [value(output, T.FLOAT, [batch or dims[0], 2])]
    return model_of(nodes, given, scores, weights, opset=13, domains=[("ai.onnx.ml", 2)])


def with_probabilities(model):
    """The same model, which gives probabilities in place of its scores."""
    scores, shape = model.graph.output[0], model.graph.output[0].type.tensor_type.shape.dim
    model.graph.node.append(helper.make_node("Softmax", [scores.name], ["shares"]))
    model.graph.node.append(helper.make_node("Identity", ["shares"], ["probabilities"]))
    dims = [dim.dim_param or dim.dim_value for dim in shape]
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("probabilities", T.FLOAT, dims))
    onnx.checker.check_model(model, full_check=True)
    return model


def in_files(model, folder):
    """Saves each weight but the axes to a file that is called after it, in a folder next to the graph."""
    for tensor in (tensor for tensor in model.graph.initializer if tensor.data_type == T.FLOAT):
        location = f"weights/{tensor.name}"
        (folder / "weights").mkdir(exist_ok=True)
        (folder / location).write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = T.EXTERNAL
        tensor.external_data.add(key="location", value=location)


def write(name, model, task, profile, config=None, export="", graph="model.onnx", split=False, texts=True, **rest):
    folder = TARGET / name
    (folder / "model").mkdir(parents=True)
    inputs = {}
    if "refused" in rest:
        (folder / "refused.json").write_text(json.dumps(rest["refused"]) + "\n")
    else:
        evaluator = ReferenceEvaluator(model)
        if texts:
            encoded = TOKENIZER.encode_batch(TEXTS)
            rows = {"ids": [it.ids for it in encoded], "mask": [it.attention_mask for it in encoded]}
            for key, given in zip(rows, model.graph.input):
                kind = helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
                inputs[given.name] = numpy.array(rows[key]).astype(kind)
        else:
            inputs = {model.graph.input[0].name: numpy.ones(rest["shape"], "f4")}
        output = rest.get("output", "logits")
        found = dict(zip([it.name for it in model.graph.output], evaluator.run(None, inputs)))[output]
        values = numpy.asarray(found).astype("f8").reshape(len(found), -1).tolist()
        (folder / "expected.json").write_text(json.dumps({"output": output, "values": values}) + "\n")
    (folder / "case.toml").write_text(f'kind = "graph"\ntask = "{task}"\n')
    path = folder / "model" / graph
    path.parent.mkdir(exist_ok=True)
    if split:
        in_files(model, path.parent)
    path.write_bytes(model.SerializeToString(deterministic=True))
    for file, content in (config or {}).items():
        (folder / "model" / file).write_text(json.dumps(content) + "\n")
    export = f"[export]\n{export}\n" if export else ""
    (folder / "own.toml").write_text(
        f'name = "own"\ntask = "{task}"\n[source]\npath = "model"\ngraph = "{graph}"\n[[profiles]]\n{profile}\n{export}'
        '[compile]\ngpus = ["l4"]\n[package]\nplatforms = ["onnx", "tensorrt"]\ncopies = 1\n'
        "[load]\nstages = [{ users = 1, seconds = 1 }]\n"
    )


def main():
    text, image = "text-classification", "image-classification"
    profile = "batch = [1, 2, 4]\nsequence = [4, 8, 16]"
    labels = {"config.json": {"id2label": {"0": "neg", "2": "pos", "1": "neu"}}}
    write("boolean-mask", classifier(["s0", "s77"], mask=T.BOOL), text, profile)
    write("float-mask", classifier([None, None], mask=T.FLOAT), text, profile, labels)
    names = ("input_ids:0", "input_mask:0")
    tensorflow = classifier(["unk__12", "unk__13"], T.INT32, T.INT32, names)
    write("tensorflow-names", tensorflow, text, profile)
    write("half-precision", classifier(["N", "M"], kind=T.FLOAT16), text, profile, export='precisions = ["fp16"]')
    beside = {f"onnx/{file}": content for file, content in labels.items()}
    dims = ["batch_size", "sequence_length"]
    write("files-of-weights", classifier(dims), text, profile, beside, graph="onnx/model.onnx", split=True)
    write("probabilities", with_probabilities(classifier(dims)), text, profile, labels, output="probabilities")
    two = classifier(dims, tokens=True)
    write("two-outputs", two, "sentence-embedding", profile, output="sentence_embedding")
    write("fixed-length", classifier(["batch", 12]), text, "batch = [1, 2, 4]")
    write("fixed-batch", classifier([1, "tokens"]), text, "batch = [1, 1, 1]\nsequence = [4, 8, 16]")
    write("fixed-batch-of-two", classifier([2, 8]), text, "batch = [2, 2, 2]\nsequence = [8, 8, 8]")
    refused = ["own.toml", "key `profiles`: invalid batch of a profile: [1, 2, 4]; expected [1, 1, 1]"]
    write("fixed-batch-refused", classifier([1, "tokens"]), text, profile, refused=refused)
    refused = ["key `profiles`: invalid sequence of a profile: [4, 8, 16]; expected [12, 12, 12]"]
    write("fixed-length-refused", classifier(["batch", 12]), text, profile, refused=refused)
    tokens = classifier(dims, tokens=True)
    del tokens.graph.output[1]
    refused = ["unsupported task `sentence-embedding`", "gives `token_embeddings` and no output `sentence_embedding`"]
    write("tokens-only-refused", tokens, "sentence-embedding", profile, refused=refused)

    plain = {"do_normalize": False, "do_rescale": False, "do_resize": False}
    open_dims = ["batch_size", "num_channels", "height", "width"]
    batch = "batch = [1, 2, 4]"
    sized = {
        "config.json": {"model_type": "other", "image_size": 64},
        "preprocessor_config.json": {"size": {"height": 8, "width": 8}, **plain},
    }
    write("open-images", image_classifier(open_dims), image, batch, sized, texts=False, shape=[1, 3, 8, 8])
    refused = ["input `input:0` leaves the size of images open (`height`)", "`image_size = [224, 224]` in [export]"]
    write("open-images-refused", image_classifier(open_dims), image, batch, texts=False, refused=refused)
    refused = ["key `export.image_size`: input `input:0` takes 8 pixels where 16 are asked for"]
    fixed = image_classifier(["N", 3, 8, 8])
    write("other-size-refused", fixed, image, batch, export="image_size = [16, 16]", texts=False, refused=refused)
    rows = image_classifier(["unk__1", "unk__2", "unk__3", 3], planes=False)
    write("channels-last", rows, image, batch, export="image_size = [8, 8]", texts=False, shape=[1, 8, 8, 3])
    # As converters of Caffe's and TensorFlow's models write it.
    numbered = image_classifier(["batch", 8, 8, 3], planes=False, output="4195", batch="Softmax4195_dim_0")
    write("numbered-output", numbered, image, batch, texts=False, shape=[1, 8, 8, 3], output="4195")
    # As torch.export writes sizes that are multiples of a number.
    multiples = image_classifier(["batch_size", 3, "8*_h", "8*_w"])
    write("multiples", multiples, image, batch, sized, texts=False, shape=[1, 3, 8, 8])
    # As torch's exporter writes two weights that are equal.
    write("shared-bias", image_classifier(["N", 3, 8, 8], shared=True), image, batch, sized, texts=False, shape=[1, 3, 8, 8])
    write("one-image", image_classifier([1, 3, 8, 8]), image, "batch = [1, 1, 1]", texts=False, shape=[1, 3, 8, 8])


if __name__ == "__main__":
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    TOKENIZER = write_tokenizer()
    Image.new("RGB", (8, 8), (1, 1, 1)).save(TARGET / "ones.png")
    main()
