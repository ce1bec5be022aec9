#!/usr/bin/env python3
"""Prints the first distance of each row of MPNet's table of distances, for keys before and after their query.

    venv/bin/python scripts/reference/mpnet-buckets.py

Computed by transformers; the test of crates/engine/src/arch/mpnet.rs expects these.
"""

import torch
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

LENGTHS = 600


def main():
    for sign in [-1, 1]:
        rows = MPNetEncoder.relative_position_bucket(sign * torch.arange(LENGTHS)).tolist()
        print([(length, row) for length, row in enumerate(rows) if length == 0 or row != rows[length - 1]])


if __name__ == "__main__":
    main()
