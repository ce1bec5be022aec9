"""Keys of the small files next to a text model that sentence-transformers and transformers read, for config-keys.py.

Of `modules.json`, of the files of its modules by class, of `config_sentence_transformers.json`, and of
`tokenizer_config.json` by class; with each key its default, `null` where it has none.
"""

import ast
import functools
import inspect
import json
import operator

import transformers
from sentence_transformers.base import model as base_model
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.cross_encoder import model as cross_encoder
from sentence_transformers.sentence_transformer import model as sentence_transformer
from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm, Pooling, pooling
from tokenizers import processors
from transformers import tokenization_utils_base, tokenization_utils_tokenizers
from transformers.models.auto import tokenization_auto

MODULES = [Transformer, Pooling, Dense, LayerNorm, Normalize, Dropout]
TOKENIZERS = [
    "BertTokenizer", "DistilBertTokenizer", "MPNetTokenizer", "RobertaTokenizer", "XLMRobertaTokenizer",
    "CamembertTokenizer", "TokenizersBackend",
]
# Arguments that the loading code gives, or that a file cannot have.
OF_CODE = ["self", "args", "kwargs", "model_name_or_path", "backend", "init_weight", "init_bias"]
# Older names of arguments of `Transformer`, as `_load_init_kwargs` has them.
OLDER_ARGUMENTS = ["model_args", "tokenizer_args", "config_args"]


def taken(source, names):
    """Keys that code takes of tables with one of the `names`: `names["key"]`, `"key" in names`, `names.get("key")`."""
    for node in ast.walk(ast.parse(source)):
        key = table = None
        if isinstance(node, ast.Subscript):
            table, key = node.value, node.slice
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
            table, key = node.comparators[0], node.left
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr in ("get", "pop", "setdefault"):
                table, key = node.func.value, node.args[0]
        if isinstance(table, ast.Name) and table.id in names and isinstance(key, ast.Constant):
            if isinstance(key.value, str):
                yield key.value


def arguments(cls):
    """Arguments of a class with their defaults, as a file has them."""
    found = {}
    for name, parameter in inspect.signature(cls.__init__).parameters.items():
        if name not in OF_CODE:
            is_plain = isinstance(parameter.default, (bool, int, float, str))
            found[name] = parameter.default if is_plain else None
    return found


def module_keys():
    found = {cls.__name__: arguments(cls) for cls in MODULES}
    found["Transformer"] |= dict.fromkeys(OLDER_ARGUMENTS)
    found["Pooling"] |= dict.fromkeys([*Pooling.config_key_renames, *pooling._LEGACY_POOLING_MODE_KWARGS])
    return found


def of_methods(modules, methods, names):
    """Keys that methods of classes in `modules` take of tables with the `names`."""
    found = {}
    for module in modules:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.FunctionDef) and node.name in methods:
                found |= dict.fromkeys(taken(ast.unparse(node), names))
    return found


def tokenizer_keys():
    base = transformers.PreTrainedTokenizerBase
    loading = ["from_pretrained", "_from_pretrained"]
    common = dict.fromkeys(base.SPECIAL_TOKENS_ATTRIBUTES)
    common |= of_methods([tokenization_utils_base], loading, ["init_kwargs"])
    common |= of_methods([tokenization_auto], loading, ["tokenizer_config"])
    common |= of_methods([tokenization_utils_base], ["__init__"], ["kwargs"])
    of_backend = ["__init__", "convert_to_native_format"]
    common |= of_methods([tokenization_utils_tokenizers], of_backend, ["kwargs", "local_kwargs"])
    found = {}
    for name in TOKENIZERS:
        cls = getattr(transformers, name)
        own = [arguments(base) for base in reversed(cls.__mro__) if issubclass(base, transformers.TokenizersBackend)]
        found[name] = functools.reduce(operator.or_, own, common)
    return found


def kinds(step):
    """Names of the steps of a part of `tokenizer.json`."""
    if step is None:
        return []
    inner = step.get("pretokenizers") or step.get("processors") or []
    return [name for part in inner for name in kinds(part)] if step["type"] == "Sequence" else [step["type"]]


def frame(step):
    """Where special tokens are (`S`) in what becomes of one text (`T`)."""
    if step is None or step["type"] == "ByteLevel":
        return "T"
    if step["type"] == "Sequence":
        return next((found for found in map(frame, step["processors"]) if found != "T"), "T")
    if step["type"] == "TemplateProcessing":
        return "".join("S" if "SpecialToken" in part else "T" for part in step["single"])
    return "STS"


def steps(cls):
    """The steps that a class builds, whichever `tokenizer.json` has; none for classes in Python and those that cannot be built.

    Most take the frame of the file, which is then none.
    """
    twice = processors.TemplateProcessing(single="$A $A", pair="$A $B")
    try:
        built = json.loads(cls(post_processor=twice).backend_tokenizer.to_str())
    except (AttributeError, ImportError, OSError, TypeError, ValueError):
        return None
    found = {"model": built["model"]["type"], "pre_tokenizers": kinds(built["pre_tokenizer"])}
    own = frame(built["post_processor"])
    return found | {"frame": None if own == "TT" else own}


def tokenizer_classes():
    """Classes of transformers that do not take the steps of `tokenizer.json`, by the names that files have for them."""
    listed = {*tokenization_auto.TOKENIZER_MAPPING_NAMES.values(), *dir(transformers)}
    found = {}
    for name in sorted(name for name in listed - {None, "AutoTokenizer"} if name.endswith("Tokenizer")):
        cls = tokenization_auto.tokenizer_class_from_name(name)
        takes_file = isinstance(cls, type) and issubclass(cls, transformers.TokenizersBackend) and "__init__" not in vars(cls)
        if cls not in (None, transformers.TokenizersBackend, transformers.PythonBackend) and not takes_file:
            found[name] = {"class": cls.__name__, "steps": steps(cls)}
    return found


def file_keys():
    settings = ["_load_config_modules", "_parse_model_config"]
    sources = [base_model, sentence_transformer, cross_encoder]
    return {
        "modules.json": of_methods([base_model], ["_load_config_modules"], ["module_config"]),
        "modules": module_keys(),
        "config_sentence_transformers.json": of_methods(sources, settings, ["model_config"]) | {"model_type": None},
        "tokenizer_config.json": tokenizer_keys(),
    }
