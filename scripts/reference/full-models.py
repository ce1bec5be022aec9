#!/usr/bin/env python3
"""Makes a checkpoint of full size with seeded random weights, and what timm or transformers computes with it.

    venv/bin/python scripts/reference/full-models.py --list
    venv/bin/python scripts/reference/full-models.py NAME FOLDER

FOLDER gets the checkpoint as a repository on the Hub has it (config.json, model.safetensors), case.toml with the
task, and for each batch expected-<n>.safetensors with the inputs (`in.<name>`) and the outputs (`out.<name>`), in
fp32 on the CPU. Weights are drawn as reference.py says.
"""

import sys
from pathlib import Path

import timm
import torch
import transformers
from reference import image_batch, randomise, save_sentence_modules, save_timm, sentence_embedding, text_batch
from safetensors.torch import save_file

# Lengths of the texts of each batch; the others are padded to the longest.
TEXT_BATCHES = [[128], [7, 128, 40], [16, 3, 64, 33, 50, 1, 20, 64], [384]]
IMAGE_BATCHES = [1, 3, 8]

LARGE = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
ROBERTA = dict(max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1)
THOUSAND = dict(id2label={number: f"class {number}" for number in range(1000)})

# Name, task, and the model.
TEXT_MODELS = {
    "bert-base-uncased": ("feature-extraction", lambda: transformers.BertModel(transformers.BertConfig())),
    "roberta-large": (
        "feature-extraction",
        lambda: transformers.RobertaModel(transformers.RobertaConfig(vocab_size=50265, **ROBERTA, **LARGE)),
    ),
    "xlm-roberta-base": (
        "fill-mask",
        lambda: transformers.XLMRobertaForMaskedLM(transformers.XLMRobertaConfig(vocab_size=250002, **ROBERTA)),
    ),
    "camembert-base": (
        "token-classification",
        lambda: transformers.CamembertForTokenClassification(
            transformers.CamembertConfig(vocab_size=32005, num_labels=5, **ROBERTA)
        ),
    ),
    "distilbert-base-uncased": (
        "question-answering",
        lambda: transformers.DistilBertForQuestionAnswering(transformers.DistilBertConfig()),
    ),
    "all-mpnet-base-v2": (
        "sentence-embedding",
        lambda: transformers.MPNetModel(
            transformers.MPNetConfig(vocab_size=30527, max_position_embeddings=514, layer_norm_eps=1e-5)
        ),
    ),
}
VIT_LARGE = dict(LARGE, **THOUSAND)
IMAGE_MODELS = {
    "transformers-resnet-50": lambda: transformers.ResNetForImageClassification(
        transformers.ResNetConfig(**THOUSAND)
    ),
    "transformers-convnext-base": lambda: transformers.ConvNextForImageClassification(
        transformers.ConvNextConfig(hidden_sizes=[128, 256, 512, 1024], depths=[3, 3, 27, 3], **THOUSAND)
    ),
    "transformers-vit-large": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**VIT_LARGE)),
    "transformers-deit-base-distilled": lambda: transformers.DeiTForImageClassificationWithTeacher(
        transformers.DeiTConfig(**THOUSAND)
    ),
}
TIMM_MODELS = [
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "convnext_tiny",
    "convnext_base",
    "vit_tiny_patch16_224",
    "vit_base_patch32_224",
    "vit_large_patch16_224",
    "deit_base_distilled_patch16_224",
]
NAMES = [*TEXT_MODELS, *IMAGE_MODELS, *TIMM_MODELS]


def make(name, folder):
    """Saves the model; its task, and the batches it is to be run on."""
    generator = torch.Generator().manual_seed(NAMES.index(name))
    if name in TEXT_MODELS:
        task, build = TEXT_MODELS[name]
        model = build()
        vocabulary, padding = model.config.vocab_size, model.config.pad_token_id
        batches = [text_batch(padding, vocabulary, generator, lengths) for lengths in TEXT_BATCHES]
        if getattr(model.config, "type_vocab_size", 0) < 2:
            batches = [{key: batch[key] for key in ["input_ids", "attention_mask"]} for batch in batches]
    else:
        task = "image-classification"
        model = IMAGE_MODELS[name]() if name in IMAGE_MODELS else timm.create_model(name)
        batches = [{"INPUT__0": image_batch(224, generator, count)} for count in IMAGE_BATCHES]
    randomise(model.eval(), generator)
    if name in TIMM_MODELS:
        save_timm(model, folder, {})
    else:
        model.save_pretrained(folder, max_shard_size="100GB")
    if task == "sentence-embedding":
        save_sentence_modules(folder)
    return model, task, batches


def run(model, batch, task):
    """Outputs by their names in the graph."""
    with torch.no_grad():
        if "INPUT__0" in batch:
            output = model(batch["INPUT__0"])
            return {"OUTPUT__0": getattr(output, "logits", output)}
        output = model(**batch)
    names = ["last_hidden_state", "pooler_output", "logits", "start_logits", "end_logits"]
    outputs = {key: output[key] for key in names if key in output}
    if task == "sentence-embedding":
        outputs["sentence_embedding"] = sentence_embedding(output["last_hidden_state"], batch["attention_mask"])
    return outputs


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(NAMES))
        return
    if len(sys.argv) != 3 or sys.argv[1] not in NAMES:
        sys.exit(__doc__)
    name, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True)
    model, task, batches = make(name, folder)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    case = f'kind = "checkpoint"\ntask = "{task}"\nparameters = {parameters}\n'
    (folder / "case.toml").write_text(case, encoding="utf-8")
    for number, batch in enumerate(batches):
        tensors = {f"in.{key}": tensor for key, tensor in batch.items()}
        tensors |= {f"out.{key}": tensor.contiguous() for key, tensor in run(model, batch, task).items()}
        save_file(tensors, folder / f"expected-{number}.safetensors")


if __name__ == "__main__":
    main()
