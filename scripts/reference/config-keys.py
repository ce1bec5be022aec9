#!/usr/bin/env python3
"""Lists the keys that transformers, sentence-transformers and timm read: crates/engine/src/reference-keys.json.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/config-keys.py

With each key its default: of configurations of transformers by `model_type`, of the arguments of timm's models and of
its `pretrained_cfg`, of image processors, and of the small files next to a text model (file_keys.py). Keys come from the
classes, and from what the code of the models and of the base classes takes of a configuration. Tests of the engine fail
when it does not account for a key, so run this after each new release of a reference.
"""

import ast
import dataclasses
import importlib
import inspect
import json
from pathlib import Path

import sentence_transformers
import timm
import transformers
from file_keys import file_keys, tokenizer_classes
from timm.models import convnext, resnet, vision_transformer
from timm.models._pretrained import PretrainedCfg
from transformers import image_processing_backends, image_processing_utils
from transformers.models.auto import image_processing_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

TARGET = Path(__file__).parents[2] / "crates/engine/src/reference-keys.json"
MODEL_TYPES = [
    "bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet", "electra", "resnet", "convnext", "vit", "deit",
]
TIMM_MODELS = {
    "resnet": resnet.ResNet,
    "convnext": convnext.ConvNeXt,
    "vit": vision_transformer.VisionTransformer,
}
# Image processors with steps of their own, or with keys that are no longer written.
DESCRIBED = ["CLIPImageProcessor", "ConvNextImageProcessor"]
# What every model of transformers goes through on its way from the files to a result.
BASE_MODULES = [
    "transformers.modeling_utils",
    "transformers.masking_utils",
    "transformers.quantizers.auto",
    "transformers.models.auto.auto_factory",
    "transformers.models.auto.configuration_auto",
    "transformers.pipelines.base",
    "transformers.pipelines.text_classification",
    "transformers.pipelines.token_classification",
    "transformers.pipelines.image_classification",
]


def is_config(node):
    """Whether an expression is a configuration: `config`, `self.config`, `model.config`."""
    return (isinstance(node, ast.Name) and node.id in ("config", "config_dict")) or (
        isinstance(node, ast.Attribute) and node.attr == "config"
    )


def reads(source):
    """Names that code takes of a configuration."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_config(node.value):
            yield node.attr
        elif isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(node.func, ast.Name):
            if node.func.id in ("getattr", "hasattr") and is_config(node.args[0]):
                if isinstance(node.args[1], ast.Constant):
                    yield node.args[1].value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
            if is_config(node.func.value) and node.args and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value


def legacy_arguments(cls):
    """Names that a configuration takes out of its further arguments: `kwargs.pop("torch_dtype")`."""
    for function in ast.walk(ast.parse(inspect.getsource(cls))):
        if isinstance(function, ast.FunctionDef) and function.name in ("__init__", "__post_init__"):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    takes = node.func.attr in ("get", "pop") and isinstance(node.func.value, ast.Name)
                    if takes and node.func.value.id == "kwargs" and isinstance(node.args[0], ast.Constant):
                        yield node.args[0].value


def is_key(cls, name):
    """Whether a file can have the name, rather than that it is a method or the library's own."""
    is_fixed = "ClassVar" in str(transformers.PreTrainedConfig.__annotations__.get(name))
    return not name.startswith("_") and not is_fixed and not callable(getattr(cls, name, None))


def defaults(cls):
    """The fields of a configuration class with their defaults."""
    found = {}
    for field in dataclasses.fields(cls):
        if not field.name.startswith("_"):
            value = field.default if field.default is not dataclasses.MISSING else None
            found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def base_keys():
    base = transformers.PreTrainedConfig
    names = [*legacy_arguments(base), "model_type", "auto_map", "quantization_config"]
    keys = {name: None for name in names if name == "model_type" or is_key(base, name)}
    for module in BASE_MODULES:
        source = inspect.getsource(importlib.import_module(module))
        keys |= {name: None for name in reads(source) if is_key(base, name)}
    return keys | defaults(base)


def model_keys(model_type, base):
    """The keys of one kind of model that the base class does not have, and the names that stand for others."""
    cls = CONFIG_MAPPING[model_type]
    module = model_type.replace("-", "_")
    source = inspect.getsource(importlib.import_module(f"transformers.models.{module}.modeling_{module}"))
    keys = {name: None for name in reads(source) if is_key(cls, name)}
    keys |= {name: None for name in legacy_arguments(cls) if is_key(cls, name)} | defaults(cls)
    unlike_base = {name: value for name, value in keys.items() if name not in base or base[name] != value}
    aliases = dict(cls.attribute_map)
    return {"keys": {name: value for name, value in unlike_base.items() if name not in aliases}, "aliases": aliases}


def arguments(cls):
    """The arguments of a model of timm with their defaults; classes and functions have none that a file could name."""
    found = {}
    for name, parameter in inspect.signature(cls.__init__).parameters.items():
        if name != "self":
            value = parameter.default
            is_plain = isinstance(value, (bool, int, float, str, tuple))
            found[name] = (list(value) if isinstance(value, tuple) else value) if is_plain else None
    return found


def processor(cls):
    """The values of an image processor that its class sets."""
    names = cls.valid_kwargs.__annotations__
    found = {name: getattr(cls, name, None) for name in names}
    found = {name: value for name, value in found.items() if value is not None}
    return {name: int(value) if name == "resample" else value for name, value in found.items()}


def is_plain(cls):
    """Whether a class only sets values, and leaves what is done with them to its base."""
    own = [name for name, value in vars(cls).items() if callable(value)]
    return cls.__base__ is image_processing_backends.TorchvisionBackend and not own


def processors():
    """The image processors whose steps are resizing, cropping, scaling and normalising: those that the supported
    models come with, and those that have nothing else."""
    names = {value.get("torchvision") for value in image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES.values()}
    found = {}
    for name in sorted(name for name in names if name):
        cls = getattr(transformers, name, None)
        if cls is not None and (is_plain(cls) or name in DESCRIBED):
            found[name] = processor(cls)
    return found


def image_processor_keys():
    base = image_processing_utils.BaseImageProcessor
    keys = {name: getattr(base, name, None) for name in base.valid_kwargs.__annotations__}
    return keys | dict.fromkeys(["image_processor_type", "feature_extractor_type", "auto_map"])


def main():
    base = base_keys()
    described = processors()
    mapping = image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES
    classes = {name: value.get("torchvision") for name, value in mapping.items()}
    record = {
        "transformers": transformers.__version__,
        "timm": timm.__version__,
        "sentence_transformers": sentence_transformers.__version__,
        "base": base,
        "models": {name: model_keys(name, base) for name in MODEL_TYPES},
        "timm_arguments": {name: arguments(cls) for name, cls in TIMM_MODELS.items()},
        "pretrained_cfg": defaults(PretrainedCfg),
        "image_processor_keys": image_processor_keys(),
        "image_processors": described,
        "files": file_keys(),
        "tokenizer_classes": tokenizer_classes(),
        "image_processor_of": {name: found for name, found in classes.items() if found in described},
    }
    TARGET.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
