"""A model made of stand-ins: the shapes and formats of another's first layers, without its weights.

It computes nothing meaningful, but takes the memory and the time of the real one: what a model will
need can be known from the header of its file alone.
"""

from dataclasses import replace

import numpy as np

from homezoo.formats.block_types import BlockType
from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.load import ARCHITECTURES, Model, ModelFile

ALIGNMENT = 64  # bytes: a cache line
_TILE = 1 << 20  # bytes drawn; the rest repeats them


def stand_in_bytes(size: int) -> np.ndarray:
    """Shared, page by page mapped memory as a file's is: uint8 [size] of harmless numbers.

    Bytes from 0x2c to 0x2f: as float16 0.06 to 0.12, so that no product overflows a float16 cache,
    and no sum becomes so small that the processor slows down.
    """
    import mmap

    memory = np.frombuffer(mmap.mmap(-1, max(size, ALIGNMENT)), np.uint8)
    tile = np.random.default_rng(0).integers(0x2C, 0x30, min(_TILE, len(memory)), np.uint8)
    for start in range(0, len(memory), len(tile)):
        memory[start : start + len(tile)] = tile[: len(memory) - start]
    return memory


def sketch(file: ModelFile, layers: int, memory: np.ndarray | None) -> Model:
    """The first `layers` layers between embedding and output, with weights laid into `memory`.

    Where `memory` [bytes] is too small for all, they lie upon each other; it must hold the largest.
    None leaves the file's own weights where they are.
    Raises what loading the model raises.
    """
    config = replace(ModelConfig.from_metadata(file.metadata, file.tensors), layers=layers)
    tensors, place = {}, 0
    for name, tensor in file.tensors.items():
        if layer_of(name) in range(layers) or layer_of(name) is None:
            if memory is None:
                tensors[name] = tensor
                continue
            if len(tensor.shape) == 1:
                tensors[name] = _vector(tensor)
                continue
            size = tensor.data.nbytes
            if place + size > len(memory):
                place = 0
            data = memory[place : place + size].reshape(tensor.data.shape)
            tensors[name] = Tensor(name, tensor.type, tensor.shape, data)
            place = -(-(place + size) // ALIGNMENT) * ALIGNMENT
    return ARCHITECTURES[config.architecture](config, tensors)


def layer_of(name: str) -> int | None:
    """The layer that a tensor belongs to: 3 of `blk.3.attn_q.weight`; None outside of layers."""
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "blk" and parts[1].isdecimal() else None


def _vector(tensor: Tensor) -> Tensor:
    """Ones; of a norm with signs in no order, so that sums over a row stay small."""
    values = np.ones(tensor.width, np.float32)
    if tensor.name.endswith("norm.weight"):
        # Knuth's multiplicative hash; NumPy's generators cost 10 ms to import, at every start
        hashed = np.arange(tensor.width, dtype=np.uint32) * np.uint32(2654435761)
        values = ((hashed >> 16) & 1).astype(np.float32) * 2 - 1
    data = values.view(np.uint8).reshape(1, -1)
    return Tensor(tensor.name, BlockType.F32, tensor.shape, data)
