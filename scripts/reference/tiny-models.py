#!/usr/bin/env python3
"""Makes the checkpoints of fixtures/models and what timm and transformers compute with them.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/tiny-models.py [NAME...]

Each folder has config.json and model.safetensors as `save_pretrained` and timm's `save_for_hf` write them (one of
them under the names of the first TensorFlow checkpoints, one in shards, one in fp16 and one in bf16), and
expected.json with a batch and its outputs, in fp32 on the CPU. case.toml is written by hand. Weights are drawn as reference.py says.
"""

import json
import sys
from pathlib import Path

import timm
import torch
import transformers
from reference import (
    image_batch,
    randomise,
    save_sentence_modules,
    save_timm,
    sentence_embedding,
    text_batch,
    values,
)
from safetensors.torch import load_file, save_file

TARGET = Path(__file__).parents[2] / "fixtures/models"
VOCABULARY = 40

SHARED = {"vocab_size": VOCABULARY, "attn_implementation": "eager"}
BERT = dict(
    SHARED,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
    max_position_embeddings=26,
)
ROBERTA = dict(BERT, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1)
MPNET = dict(BERT, relative_attention_num_buckets=32)
# Long enough for distances of every row of the table.
FAR_APART = [130, 60, 3]
DISTILBERT = dict(SHARED, dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=24)
LABELS = {0: "bad", 1: "so so", 2: "good"}
VIT = dict(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
    image_size=32,
    patch_size=8,
    id2label=LABELS,
    attn_implementation="eager",
)
CONVNEXT = dict(hidden_sizes=[8, 12, 16], depths=[1, 2, 1], image_size=32, num_stages=3, id2label=LABELS)
RESNET = dict(embedding_size=8, id2label=LABELS)
SIZE = {"input_size": [3, 32, 32], "crop_pct": 0.9}


def text_models():
    """Name, model, and the options of save_pretrained."""
    bert = transformers.BertConfig(**BERT)
    yield "bert", transformers.BertModel(bert), {}
    labelled = transformers.BertConfig(**BERT, id2label=LABELS, hidden_act="gelu_new")
    yield "bert-classifier", transformers.BertForSequenceClassification(labelled), {}
    roberta = transformers.RobertaConfig(**ROBERTA)
    yield "roberta", transformers.RobertaModel(roberta), {"max_shard_size": "8KB"}
    xlm = transformers.XLMRobertaConfig(**ROBERTA, id2label=LABELS)
    yield "xlm-roberta-classifier", transformers.XLMRobertaForSequenceClassification(xlm), {}
    yield "distilbert", transformers.DistilBertModel(transformers.DistilBertConfig(**DISTILBERT)), {}
    entities = transformers.DistilBertConfig(**DISTILBERT, id2label=LABELS)
    yield "distilbert-tokens", transformers.DistilBertForTokenClassification(entities), {}
    entities = transformers.BertConfig(**BERT, id2label=LABELS)
    yield "bert-tokens", transformers.BertForTokenClassification(entities), {}
    two_labels = transformers.DistilBertConfig(**DISTILBERT, activation="relu")
    yield "distilbert-classifier", transformers.DistilBertForSequenceClassification(two_labels), {}
    yield "bert-answers", transformers.BertForQuestionAnswering(transformers.BertConfig(**BERT)), {}
    yield "roberta-answers", transformers.RobertaForQuestionAnswering(transformers.RobertaConfig(**ROBERTA)), {}
    answers = transformers.DistilBertConfig(**DISTILBERT)
    yield "distilbert-answers", transformers.DistilBertForQuestionAnswering(answers), {}
    yield "bert-masked", transformers.BertForMaskedLM(transformers.BertConfig(**BERT)), {}
    untied = transformers.RobertaConfig(**ROBERTA, tie_word_embeddings=False)
    yield "roberta-masked", transformers.RobertaForMaskedLM(untied), {}
    yield "camembert-masked", transformers.CamembertForMaskedLM(transformers.CamembertConfig(**ROBERTA)), {}
    masked = transformers.DistilBertConfig(**DISTILBERT)
    yield "distilbert-masked", transformers.DistilBertForMaskedLM(masked), {}
    yield "bert-half", transformers.BertModel(transformers.BertConfig(**BERT)).half(), {}
    yield "bert-bfloat", transformers.BertModel(transformers.BertConfig(**BERT)).bfloat16(), {}
    mpnet = transformers.MPNetConfig(**MPNET)
    yield "mpnet", transformers.MPNetModel(mpnet), {}
    far = transformers.MPNetConfig(**dict(MPNET, max_position_embeddings=140), id2label=LABELS)
    yield "mpnet-classifier", transformers.MPNetForSequenceClassification(far), {}
    entities = transformers.MPNetConfig(**MPNET, id2label=LABELS)
    yield "mpnet-tokens", transformers.MPNetForTokenClassification(entities), {}
    yield "mpnet-answers", transformers.MPNetForQuestionAnswering(mpnet), {}
    yield "mpnet-masked", transformers.MPNetForMaskedLM(mpnet), {}
    yield "mpnet-sentences", transformers.MPNetModel(mpnet), {}


def image_models():
    """Name and model."""
    bottleneck = transformers.ResNetConfig(**RESNET, hidden_sizes=[16, 32], depths=[1, 2])
    yield "resnet", transformers.ResNetForImageClassification(bottleneck)
    basic = transformers.ResNetConfig(
        **RESNET, hidden_sizes=[8, 12], depths=[2, 1], layer_type="basic", downsample_in_first_stage=True
    )
    yield "resnet-basic", transformers.ResNetForImageClassification(basic)
    early = transformers.ResNetConfig(**RESNET, hidden_sizes=[16, 32], depths=[1, 1], downsample_in_bottleneck=True)
    yield "resnet-early", transformers.ResNetForImageClassification(early)
    yield "convnext", transformers.ConvNextForImageClassification(transformers.ConvNextConfig(**CONVNEXT))
    yield "vit", transformers.ViTForImageClassification(transformers.ViTConfig(**VIT))
    no_bias = transformers.ViTConfig(**VIT, qkv_bias=False, hidden_act="gelu_new")
    yield "vit-no-bias", transformers.ViTForImageClassification(no_bias)
    yield "deit", transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(**VIT))
    yield "deit-class-token", transformers.DeiTForImageClassification(transformers.DeiTConfig(**VIT))


def timm_models():
    """Name, timm's name, and the arguments in which the checkpoint differs from it."""
    yield "timm-resnet18", "resnet18", dict(layers=[1, 2, 1, 1], channels=[4, 4, 8, 8])
    yield "timm-resnet50", "resnet50", dict(layers=[1, 1, 1, 1], channels=[4, 4, 4, 4])
    yield "timm-convnext", "convnext_tiny", dict(depths=[1, 1, 1, 1], dims=[8, 8, 12, 12])
    vit = dict(embed_dim=16, depth=2, num_heads=4, patch_size=8, mlp_ratio=1.5, img_size=32)
    yield "timm-vit", "vit_tiny_patch16_224", dict(vit, init_values=0.1)
    yield "timm-deit-distilled", "deit_tiny_distilled_patch16_224", vit


def expected_texts(model, inputs, is_embedding):
    takes_segments = getattr(model.config, "type_vocab_size", 0) > 1
    given = {name: tensor for name, tensor in inputs.items() if takes_segments or name != "token_type_ids"}
    with torch.no_grad():
        output = model.float()(**given, output_hidden_states=True)
    outputs = {"last_hidden_state": output.hidden_states[-1]}
    if getattr(output, "pooler_output", None) is not None:
        outputs["pooler_output"] = output.pooler_output
    if is_embedding:
        outputs["sentence_embedding"] = sentence_embedding(output.hidden_states[-1], inputs["attention_mask"])
    for name in ["logits", "start_logits", "end_logits"]:
        if name in output:
            outputs[name] = output[name]
    return record(given, outputs)


def expected_images(model, images):
    with torch.no_grad():
        output = model(images)
    return record({"INPUT__0": images}, {"OUTPUT__0": getattr(output, "logits", output)})


def record(inputs, outputs):
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "timm": timm.__version__}
    return {
        "versions": versions,
        "inputs": {name: values(tensor) for name, tensor in inputs.items()},
        "outputs": {name: values(tensor) for name, tensor in outputs.items()},
    }


def use_old_names(folder):
    """`gamma` and `beta`, as the first BERT checkpoints have them."""
    path = folder / "model.safetensors"
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(path).items()
    }
    save_file(renamed, path, metadata={"format": "pt"})


def make(wanted):
    """Folder and record of each model, once its checkpoint is written."""
    for seed, (name, model, options) in enumerate(text_models()):
        if wanted(name):
            generator = torch.Generator().manual_seed(seed)
            randomise(model.eval(), generator)
            lengths = FAR_APART if model.config.max_position_embeddings > max(FAR_APART) else None
            inputs = text_batch(model.config.pad_token_id, VOCABULARY, generator, lengths)
            model.save_pretrained(TARGET / name, **options)
            is_embedding = name.endswith("-sentences")
            if is_embedding:
                save_sentence_modules(TARGET / name)
            yield TARGET / name, expected_texts(model, inputs, is_embedding)
    for seed, (name, model) in enumerate(image_models(), start=100):
        if wanted(name):
            generator = torch.Generator().manual_seed(seed)
            randomise(model.eval(), generator)
            model.save_pretrained(TARGET / name)
            yield TARGET / name, expected_images(model, image_batch(32, generator))
    for seed, (name, timm_name, arguments) in enumerate(timm_models(), start=200):
        if wanted(name):
            generator = torch.Generator().manual_seed(seed)
            model = timm.create_model(timm_name, num_classes=3, **arguments)
            randomise(model.eval(), generator)
            save_timm(model, TARGET / name, arguments, SIZE)
            yield TARGET / name, expected_images(model, image_batch(32, generator))


def main():
    names = sys.argv[1:]
    for folder, expected in make(lambda name: not names or name in names):
        if folder.name == "bert-classifier":
            use_old_names(folder)
        (folder / "expected.json").write_text(json.dumps(expected) + "\n", encoding="utf-8")
        print(folder)


if __name__ == "__main__":
    main()
