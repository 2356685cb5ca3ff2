"""Measures the table of docs/models.md: agreement of each architecture on small random models.

Run as `PYTHONPATH=src:tests python tests/zoo_agreement.py` where torch and transformers are.
"""

import numpy as np
import transformers_cases
import zoo_cases
from random_models import RandomModel, random_model
from transformers_cases import TOKENS
from zoo_cases import CASES, zoo_file

from homezoo import _native
from homezoo.formats.block_types import BlockType
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.ops.native import compile_native
from homezoo.ops.protocol import Array, Ops
from homezoo.ops.reference import compile_reference


class States:
    """An encoder up to its last states."""

    def __init__(self, file: RandomModel) -> None:
        self.model = load_model(file)

    def forward(self, ops: Ops) -> Array:
        return ops.select(self.model.hidden(ops))


def computed(file: RandomModel, exact: bool) -> np.ndarray:
    """Logits of TOKENS (an encoder's states), in exact floats or by the native kernels."""
    model = load_model(file)
    cache = KVCache(model.config.layers, model.config.kv_heads, model.config.head_width, 128)
    forward = model if model.config.causal else States(file)
    batch = build_batch([(Sequence(cache), TOKENS)], every_row=True)
    if exact:
        return compile_reference(forward, cache, exact=True)(batch)
    return compile_native(forward, cache, _native.Threads(1))(batch)


def file_of(name: str, type: BlockType) -> RandomModel:
    """A case of either list."""
    if name in CASES:
        return zoo_file(name, type)
    return random_model(**transformers_cases.CASES[name][0], type=type)


def main() -> None:
    """Prints a line for each case."""
    for name in (*transformers_cases.CASES, *CASES):
        if name == "llama3":  # its factors are made by the test
            continue
        theirs = (zoo_cases if name in CASES else transformers_cases).hf_logits(name)
        ours = computed(file_of(name, BlockType.F32), exact=True)
        best = ours.argmax(axis=1)
        line = f"{name:24} {np.abs(theirs - ours).max():.1e}"
        for type in (BlockType.F32, BlockType.Q8_0, BlockType.Q4_0):
            found = computed(file_of(name, type), exact=False)
            line += f"  {type.name} {np.mean(found.argmax(axis=1) == best):.1%}"
        print(line)


if __name__ == "__main__":
    main()
