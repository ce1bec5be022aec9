#!/usr/bin/env python3
"""Computes the reference values of fixtures/all-MiniLM-L6-v2/sentence-embeddings.json with transformers.

    python3 -m venv venv && venv/bin/pip install -r scripts/reference/requirements.txt
    venv/bin/python scripts/reference/sentence-embeddings.py .native/hub/models--*/snapshots/*

The pooling is the one that the checkpoint's modules.json names: the mean over tokens, scaled to length 1.
Everything runs in fp32 on the CPU, each sentence alone, so that no padding takes part.
"""

import json
import sys
from pathlib import Path

import torch
import transformers

# The first three mean the same, the next two and the two after that are pairs on other subjects; then a
# sentence of one word, one with rare characters, and one that is longer than the others together.
SENTENCES = [
    "A man is playing a guitar on the street.",
    "Somebody makes music with a guitar outdoors.",
    "A street musician plays his guitar.",
    "The central bank raised interest rates by half a percent.",
    "Borrowing money became more expensive after the bank's decision.",
    "Two cats are asleep on the warm windowsill.",
    "A pair of kittens naps in the sun by the window.",
    "Yes",
    "Crème brûlée costs 7.50 € at the café – n'est-ce pas? 日本語 ☂",
    "The committee met for the fourth time this year to discuss, among other matters, whether the old railway bridge, "
    "which was built in 1897 and has been closed to all traffic since the flood, should be repaired at great expense, "
    "replaced by a modern one of steel and concrete, or taken down for good, and as on every earlier occasion it "
    "came to no conclusion but resolved to ask a further expert for an opinion before the end of the winter.",
]


def main() -> None:
    folder = Path(sys.argv[1])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    # The token numbers come without the fixed length that tokenizer.json asks for.
    tokenizer.backend_tokenizer.no_padding()
    rows = []
    for sentence in SENTENCES:
        tokens = tokenizer(sentence, truncation=True, max_length=256, padding=False, return_tensors="pt")
        with torch.no_grad():
            output = model(**tokens)
        mean = output.last_hidden_state.mean(dim=1)
        embedding = torch.nn.functional.normalize(mean, p=2, dim=1)[0]
        rows.append(
            {
                "sentence": sentence,
                "input_ids": tokens["input_ids"][0].tolist(),
                "sentence_embedding": [float(f"{value:.9g}") for value in embedding.tolist()],
                "pooler_output": [float(f"{value:.9g}") for value in output.pooler_output[0, :16].tolist()],
            }
        )
    record = {
        "made_by": "scripts/reference/sentence-embeddings.py",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "pooler_output_is_cut_to": 16,
        "sentences": rows,
    }
    target = Path(__file__).parents[2] / "fixtures/all-MiniLM-L6-v2/sentence-embeddings.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    # One sentence per line keeps differences readable.
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in record.pop("sentences"))
    head = json.dumps(record, ensure_ascii=False, indent=1)[:-2]
    target.write_text(f'{head},\n "sentences": [\n{lines}\n ]\n}}\n', encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
