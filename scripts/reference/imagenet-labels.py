#!/usr/bin/env python3
"""Writes the names of ImageNet's 1000 classes, in the order of the scores, from timm's own tables.

    venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/imagenet-labels.py
"""

from pathlib import Path

import timm.data

TARGET = Path(__file__).parents[2] / "crates/engine/src/arch/imagenet-1k.txt"


def main():
    tables = Path(timm.data.__file__).parent / "_info"
    names = dict(
        line.split("\t", 1) for line in (tables / "imagenet_synset_to_lemma.txt").read_text().splitlines()
    )
    classes = (tables / "imagenet_synsets.txt").read_text().split()
    # The first of the synonyms.
    lines = [names[number].split(",")[0] for number in classes]
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(TARGET, len(lines))


if __name__ == "__main__":
    main()
