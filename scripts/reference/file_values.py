"""Other values of the keys of small files, for file-mutations.py, where they do not follow from the present ones."""

from mutations import LEFT_OUT, other_values, set_key

TANH, IDENTITY = "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"
FORWARD = {"method": "forward", "method_output_name": "last_hidden_state"}
FLAGS = [True, False, 1, 0, "true"]
NAMES = ["token_embeddings", "sentence_embedding", "other"]
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
TRANSFORMER = {
    "max_seq_length": [7, 3, 1, 0, -1, 100, 7.0, "7"],
    "do_lower_case": FLAGS,
    "transformer_task": ["fill-mask", "sequence-classification", "text-generation", "feature-extraction", "other"],
    "modality_config": [
        {"text": FORWARD},
        {"text": FORWARD | {"method_output_name": ["last_hidden_state"]}},
        {"text": FORWARD | {"method_output_name": "pooler_output"}},
        {"text": FORWARD | {"method_output_name": "logits"}},
        {"text": FORWARD, "image": FORWARD},
        {"text": FORWARD, "message": FORWARD | {"format": "flat"}},
        {"image": FORWARD},
        {},
    ],
    "module_output_name": [*NAMES, "scores"],
    "processing_kwargs": [
        {},
        {"text": {"max_length": 7}},
        {"text": {"max_length": None}},
        {"text": {"max_length": 7, "truncation": True, "padding": "longest"}},
        {"text": {"truncation": "only_first"}},
        {"text": {"truncation": False}},
        {"text": {"padding": "max_length"}},
        {"text": {"padding": False}},
        {"text": {"add_special_tokens": False}},
        {"text": {"padding_side": "left"}},
        {"common": {"return_tensors": "pt"}},
        {"common": {"max_length": 7}},
        {"chat_template": {"add_generation_prompt": True}},
        {"image": {"size": 3}},
        {"other": {"max_length": 7}},
    ],
    "unpad_inputs": FLAGS,
    "query_length": [7],
    "document_length": [7],
    "query_expansion": [{"strategy": "fixed", "length": 9}],
    "tokenizer_name_or_path": ["other"],
    "model_args": [{}, {"attn_implementation": "eager"}, {"add_pooling_layer": False}, {"trust_remote_code": True}],
    "model_kwargs": [{}, {"attn_implementation": "sdpa"}, {"hidden_act": "relu"}, {"num_hidden_layers": 1}],
    "tokenizer_args": [
        {}, {"model_max_length": 7}, {"model_max_length": None}, {"model_max_length": 100}, {"model_max_length": "7"},
        {"do_lower_case": False}, {"trust_remote_code": True},
    ],
    "processor_kwargs": [
        {"model_max_length": 7}, {"truncation_side": "left"}, {"padding_side": "left"}, {"strip_accents": False},
    ],
    "config_args": [{}, {"num_hidden_layers": 1}, {"use_cache": False}, {"trust_remote_code": False}],
    "config_kwargs": [{"hidden_act": "relu"}, {"is_decoder": True}, {"output_attentions": True}],
}
IN_MODULES = {
    "Transformer": TRANSFORMER,
    "Pooling": {
        "pooling_mode": [*MODES, ["cls"], ["max", "mean"], ["lasttoken", "cls", "cls"], [], "other", ["other"]],
        "include_prompt": FLAGS,
        "embedding_dimension": [15, 17, 16.0, "16"],
        "word_embedding_dimension": [16, 15],
        **{f"pooling_mode_{name}": FLAGS for name in ["cls_token", "max_tokens", "mean_tokens"]},
        **{f"pooling_mode_{name}": FLAGS for name in ["mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]},
    },
    "Dense": {
        "in_features": [15, 17, 16.0],
        "out_features": [15, 17],
        "bias": FLAGS,
        "activation_function": [
            TANH, IDENTITY, "torch.nn.Tanh", "torch.nn.modules.activation.ReLU", "torch.nn.modules.activation.GELU",
            "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.activation.SiLU", "torch.tanh", "torch.nn.functional.relu",
            "custom.Tanh", "Tanh", "torch.nn.Other",
        ],
        "module_input_name": NAMES,
        "module_output_name": NAMES,
        "use_residual": FLAGS,
    },
    "LayerNorm": {"dimension": [15, 17, 16.0]},
    "Normalize": {"module_input_name": NAMES, "module_output_name": NAMES},
    "Dropout": {"dropout": [0.5, 0, 1.5]},
}
# Of `config_sentence_transformers.json`.
IN_ANY = {
    "model_type": ["SentenceTransformer", "CrossEncoder", "SparseEncoder", "MultiVectorEncoder", "other", ""],
    "prompts": [{}, {"query": "hello "}, {"": "hello "}, {"query": None}, {"query": 3}],
    "default_prompt_name": ["query", "passage", "document", "other", ""],
    "truncate_dim": [3, 1, 0, -1, 16, 100, 3.0, "3"],
    "similarity_fn_name": ["dot", "other"],
    "requirements": [{"sentence_transformers": ">=1"}, {"sentence-transformers": ">=99"}],
    "__version__": [{"sentence_transformers": "99.0.0"}, {}],
    "activation_fn": [
        "torch.nn.modules.activation.Sigmoid", IDENTITY, TANH, "torch.nn.Sigmoid", "custom.Sigmoid", "torch.nn.Softmax",
    ],
    "keep_in_fp32_modules": [["0"], []],
}
# Texts that are in the vocabularies, or are not.
TOKENS = [
    "the",
    "other words",
    {"content": "the", "lstrip": True, "rstrip": True, "single_word": False, "normalized": False, "special": True},
    {"__type": "AddedToken", "content": "the", "lstrip": False, "normalized": True, "rstrip": False, "single_word": True},
]
SIDES = ["left", "right", "other"]
ROLES = ["bos", "eos", "unk", "sep", "pad", "cls", "mask", "image"]
IN_TOKENIZERS = {
    **{f"{role}_token": TOKENS for role in ROLES},
    "extra_special_tokens": [["the"], {"image_token": "the"}, [], {}, "the"],
    "additional_special_tokens": [["the"], [TOKENS[2]], []],
    "model_specific_special_tokens": [{"image_token": "the"}, {}],
    "added_tokens_decoder": [
        {}, {"9": TOKENS[2]}, {"9": TOKENS[2] | {"normalized": True, "special": False}},
        {"9": TOKENS[2] | {"single_word": True, "lstrip": False}},
    ],
    "model_max_length": [7, 3, 100, 7.0, 1e30, 0, -1, "7"],
    "max_len": [7],
    "max_length": [7],
    "stride": [1],
    "truncation_strategy": ["only_first"],
    "pad_to_multiple_of": [8],
    "pad_token_type_id": [1],
    "padding_side": SIDES,
    "truncation_side": SIDES,
    "model_input_names": [
        ["input_ids"], ["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"], [], "input_ids",
    ],
    "tokenizer_class": [
        "BertTokenizer", "BertTokenizerFast", "RobertaTokenizer", "MPNetTokenizer", "PreTrainedTokenizerFast",
        "TokenizersBackend", "OtherTokenizer", "T5Tokenizer", "BertJapaneseTokenizer", "",
    ],
    "split_special_tokens": FLAGS,
    "do_lower_case": FLAGS,
    "tokenize_chinese_chars": FLAGS,
    "strip_accents": FLAGS,
    "add_prefix_space": FLAGS,
    "trim_offsets": FLAGS,
    "add_bos_token": FLAGS,
    "add_eos_token": FLAGS,
    "errors": ["ignore"],
    "clean_up_tokenization_spaces": FLAGS,
    "auto_map": [{"AutoTokenizer": ["own.OwnTokenizer", None]}, ["own.OwnTokenizer", None], {}],
    "vocab": [{"[UNK]": 0}, "vocab.txt"],
    "merges": [[]],
    "unk_id": [1],
    "init_inputs": [["vocab.txt"], []],
    "chat_control_tokens": [["the"], "the"],
    "post_processor": ["other", {}],
    "tokenizer_truncation": [{"max_length": 5, "direction": "right", "stride": 0, "strategy": "longest_first"}],
    "tokenizer_padding": [{"length": 8, "pad_id": 0, "pad_token": "[PAD]"}],
    "_json_truncation": [{"max_length": 5, "direction": "left", "stride": 0, "strategy": "longest_first"}],
    "_json_padding": [{"direction": "left"}],
    "vocab_file": ["other.txt"],
    "tokenizer_file": ["other.json"],
    "fix_mistral_regex": [True],
}


def variants(present, keys, values):
    """A key, another value of it, and the content of the file with it."""
    for key, default in {**keys, "unknown_key": None}.items():
        own = values.get(key)
        others = other_values(key, present.get(key, default)) if own is None else [*own, None, LEFT_OUT]
        for value in others:
            changed = dict(present)
            set_key(key, value)(changed)
            yield key, value, changed


def module_lists(listed):
    """What is changed, and the list of modules with it."""
    for place, entry in enumerate(listed):
        rest = listed[:place] + listed[place + 1 :]
        yield f"without {entry['type']}", rest
        yield f"{entry['type']} last", [*rest, entry]
        yield f"{entry['type']} twice", [*listed, entry | {"name": "again"}]
        for what, changes in [
            ("path with a slash", {"path": f"{entry['path']}/"}),
            ("path above", {"path": f"../{entry['path']}"}),
            ("path of another", {"path": listed[0]["path"]}),
            ("path that is not there", {"path": "other"}),
            ("path null", {"path": None}),
            ("name of another", {"name": listed[-1]["name"] if place == 0 else listed[0]["name"]}),
            ("name null", {"name": None}),
            ("kwargs", {"kwargs": ["task"]}),
            ("other idx", {"idx": 7}),
            ("older type", {"type": f"sentence_transformers.models.{entry['type'].rsplit('.', 1)[-1]}"}),
            ("type of a module", {"type": f"sentence_transformers.models.{entry['type'].rsplit('.', 1)[-1]}.Other"}),
            ("type of another package", {"type": f"own.{entry['type'].rsplit('.', 1)[-1]}"}),
            ("class alone", {"type": entry["type"].rsplit(".", 1)[-1]}),
        ]:
            yield f"{entry['type']} {what}", [*listed[:place], entry | changes, *listed[place + 1 :]]
        for key in ["path", "name", "type", "idx"]:
            without = {name: value for name, value in entry.items() if name != key}
            yield f"{entry['type']} without {key}", [*listed[:place], without, *listed[place + 1 :]]
    yield "empty", []
