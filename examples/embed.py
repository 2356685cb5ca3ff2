"""Compares texts by the mean of their last states: python examples/embed.py [FILE.gguf]"""

import sys

import numpy as np

from homezoo import STORIES, Model

path = sys.argv[1] if len(sys.argv) > 1 else STORIES
texts = ["The dog ran in the park.", "A cat played in the garden.", "One, two, three."]
with Model.open(path) as model:
    vectors = np.stack([model.embed(text) for text in texts])  # float32 [3, D]
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
similarity = vectors @ vectors.T  # cosine, [3, 3]
for text, row in zip(texts, similarity, strict=True):
    print("  ".join(f"{value:5.2f}" for value in row), text)
