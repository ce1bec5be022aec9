"""What the scripts that make checkpoints share: random weights, inputs, and how timm's checkpoints are saved."""

import json
import math
import re

import timm
import torch
from timm.models import save_for_hf

LENGTHS = [9, 5, 1]

# Normalisations of ResNet at the end of a residual branch: with less than full weight the sums grow slowly.
ENDS_OF_BRANCHES = re.compile(r"(bn[23]|layer\.[12]\.normalization)\.weight$")


def randomise(model, generator):
    """Gives every parameter and every statistic of BatchNorm a value of its own, so that one that is left out or
    swapped shows. Matrices are scaled so that values neither vanish nor grow with depth."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                new = 0.5 + noise.abs()
            elif "gamma" in name or "layer_scale" in name:
                new = 0.3 + 0.1 * noise
            elif is_scale(name, tensor):
                new = (0.5 if ENDS_OF_BRANCHES.search(name) else 1.0) * (1.0 + 0.3 * noise)
            elif tensor.dim() >= 2 and "embeddings" not in name:
                new = noise / math.sqrt(tensor[0].numel())
            else:
                new = 0.3 * noise
            tensor.copy_(new)


def is_scale(name, tensor):
    """Weights of normalisations."""
    return tensor.dim() == 1 and name.endswith("weight")


def text_batch(padding, vocabulary, generator, lengths=None):
    """Ids, mask and segments of texts of different lengths."""
    lengths = lengths or LENGTHS
    longest = max(lengths)
    ids = torch.randint(5, vocabulary, (len(lengths), longest), generator=generator)
    mask = torch.tensor([[1] * length + [0] * (longest - length) for length in lengths])
    segments = torch.tensor([[int(2 * place >= length) for place in range(longest)] for length in lengths])
    return {
        "input_ids": torch.where(mask == 1, ids, padding),
        "attention_mask": mask,
        "token_type_ids": segments * mask,
    }


def save_sentence_modules(folder):
    """What sentence-transformers adds to a checkpoint: the mean over the tokens, as a vector of length one."""
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n", encoding="utf-8")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true}\n', encoding="utf-8")


def sentence_embedding(hidden, mask):
    """The vectors that those modules give."""
    columns = mask.unsqueeze(-1).to(hidden.dtype)
    return torch.nn.functional.normalize((hidden * columns).sum(1) / columns.sum(1), dim=-1)


def image_batch(size, generator, count=2):
    """Pixels in steps of a sixteenth, which are short to write."""
    return torch.round(16 * torch.randn((count, 3, size, size), generator=generator)) / 16


def values(tensor):
    """Shape and elements, floats in as many digits as binary32 needs."""
    flat = tensor.flatten().tolist()
    if tensor.is_floating_point():
        flat = [float(f"{value:.9g}") for value in flat]
    return {"shape": list(tensor.shape), "values": flat}


def save_timm(model, folder, arguments, pretrained=None):
    """As timm puts a model into a repository on the Hub, with the arguments it was made with."""
    save_for_hf(model, folder, model_args=arguments, safe_serialization=True)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["pretrained_cfg"].update(pretrained or {})
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
