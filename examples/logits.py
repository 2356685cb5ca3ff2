"""Shows which tokens a model expects next: python examples/logits.py [FILE.gguf]"""

import sys

import numpy as np

from homezoo import STORIES, Model

path = sys.argv[1] if len(sys.argv) > 1 else STORIES
with Model.open(path) as model:
    ids = model.encode_prompt("Once upon a time")  # begins with BOS where the model wants it
    logits = model.logits(ids)  # float32 [T, vocabulary]
    for place, row in enumerate(logits):
        probabilities = np.exp(row - row.max())
        probabilities /= probabilities.sum()
        best = np.argsort(-probabilities)[:3]
        expected = [f"{model.tokenizer.token_bytes(int(i))!r} {probabilities[i]:.0%}" for i in best]
        print(f"{model.tokenizer.token_bytes(ids[place])!r:>12} then {', '.join(expected)}")
