"""Prints how far the logits of each architecture are from those of transformers.

The column of docs/models.md. Run as `PYTHONPATH=src:tests python tests/zoo_agreement.py` where
torch and transformers are.
"""

from typing import Any

import numpy as np
import transformers_cases
import zoo_cases
from random_models import RandomModel
from transformers_cases import TOKENS
from zoo_cases import CASES, zoo_file

from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.ops.protocol import Array, Ops
from homezoo.ops.reference import compile_reference


class States:
    """An encoder up to its last states."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def forward(self, ops: Ops) -> Array:
        return ops.select(self.model.hidden(ops))


def computed(file: RandomModel) -> np.ndarray:
    """Logits of TOKENS (an encoder's states) in exact floats."""
    model = load_model(file)
    cache = KVCache(model.config.layers, model.config.kv_heads, model.config.head_width, 128)
    forward = model if model.config.causal else States(model)
    batch = build_batch([(Sequence(cache), TOKENS)], every_row=True)
    return compile_reference(forward, cache, exact=True)(batch)


def main() -> None:
    """A line for each case of either list."""
    for name in (*transformers_cases.CASES, *CASES):
        if name in CASES:
            file, theirs = zoo_file(name), zoo_cases.hf_logits(name)
        else:
            file = transformers_cases.random_file(name)
            theirs = transformers_cases.hf_logits(name)
        print(f"{name:24} {np.abs(theirs - computed(file)).max():.1e}", flush=True)


if __name__ == "__main__":
    main()
