"""Makes the feed-forward networks of a model wider, without changing what it says.

A new neuron reads what its random rows of ffn_gate and ffn_up tell it, drawn as large as the
trained ones are, and writes nothing at first: its column of ffn_down is zero (after Net2Net: Chen
et al. 2016).
"""

from pathlib import Path

import numpy as np

from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.formats.tensor import Tensor

WIDTH = "llama.feed_forward_length"
_SEED = 3


def floats(tensor: Tensor) -> np.ndarray:
    return dequantize(tensor.type, tensor.data).reshape(tensor.shape)


def grown(name: str, weights: np.ndarray, width: int, draw: np.random.Generator) -> np.ndarray:
    """The tensor [N, K] of a model whose feed-forward networks have `width` neurons."""
    if name.endswith(("ffn_gate.weight", "ffn_up.weight")):
        rows = (width - len(weights), weights.shape[1])
        new = draw.standard_normal(rows, np.float32) * weights.std()
        return np.concatenate([weights, new])
    if name.endswith("ffn_down.weight"):
        return np.pad(weights, ((0, 0), (0, width - weights.shape[1])))
    return weights


def widen(model: Path, out: Path, width: int) -> Path:
    """Writes the wider model at `out` unless it is there: the weights of `model`, and new ones."""
    if out.exists():
        return out
    draw = np.random.default_rng(_SEED)
    with GGUFFile.open(model) as file, GGUFWriter(out) as writer:
        for key, value in {**file.metadata, WIDTH: width}.items():
            writer.add(key, value)
        wide = {
            name: grown(name, floats(tensor), width, draw) for name, tensor in file.tensors.items()
        }
        for name, weights in wide.items():
            writer.declare(name, BlockType.F32, weights.shape)
        for name, weights in wide.items():
            writer.write(name, weights)
    return out
