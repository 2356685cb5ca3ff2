"""Experts in MXFP4, as gpt-oss's checkpoints keep them: handed on as GGUF blocks, bit for bit.

A checkpoint has two tensors for each weight [experts, N, K]: `_blocks` U8 [experts, N, K / 32, 16],
whose byte i holds value 2i in its low half and 2i + 1 in its high half, and `_scales` U8
[experts, N, K / 32], exponents as in GGUF (OCP Microscaling Formats 1.0, sections 5.3.3 and 5.4.1).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from homezoo.errors import CheckpointError
from homezoo.formats.bit_fields import pack_bits
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.zoo.safetensors import StoredTensor

_BLOCKS, _SCALES = "_blocks", "_scales"
_CODE_BYTES = 16  # of a block of 32 values
PACKED = "MXFP4"  # the type that a PackedTensor says it has


class Source(Protocol):
    """A tensor of a checkpoint: stored as floats, or packed."""

    @property
    def name(self) -> str:
        """As the checkpoint spells it."""

    @property
    def type(self) -> str:
        """Safetensors' name of its type, or PACKED."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Outermost dimension first."""

    @property
    def data(self) -> np.ndarray:
        """uint8 [bytes]."""

    def floats(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """float32 of the first dimension's rows `start` to `stop`."""


@dataclass(frozen=True, eq=False)
class PackedTensor:
    """A weight [experts, N, K] in MXFP4."""

    codes: StoredTensor
    scales: StoredTensor

    @property
    def name(self) -> str:
        """That of the codes."""
        return self.codes.name

    @property
    def type(self) -> str:
        """PACKED."""
        return PACKED

    @property
    def shape(self) -> tuple[int, ...]:
        """[experts, N, K]."""
        experts, rows, blocks, _ = self.codes.shape
        return experts, rows, blocks * 2 * _CODE_BYTES

    @property
    def data(self) -> np.ndarray:
        """The codes."""
        return self.codes.data

    def blocks(self, expert: int) -> np.ndarray:
        """One expert as rows of GGUF's blocks: uint8 [N, row bytes]."""
        _, rows, count, _ = self.codes.shape
        codes = self.codes.data.reshape(self.codes.shape)[expert]  # [N, K / 32, 16]
        values = np.stack([codes & 15, codes >> 4], axis=-1).reshape(rows, count, 2 * _CODE_BYTES)
        scales = self.scales.data.reshape(self.scales.shape)[expert]  # [N, K / 32]
        joined = np.concatenate([scales[..., None], pack_bits(values, 4, _CODE_BYTES)], axis=-1)
        return joined.reshape(rows, -1)

    def floats(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """float32 [stop - start, N, K] of experts."""
        chosen = range(self.shape[0])[start:stop]
        parts = [dequantize(BlockType.MXFP4, self.blocks(expert)) for expert in chosen]
        return np.stack(parts) if parts else np.empty((0, *self.shape[1:]), np.float32)


def join_packed(stored: dict[str, StoredTensor]) -> dict[str, Source]:
    """The checkpoint's tensors, those of codes joined with their scales.

    Raises CheckpointError for codes without fitting scales.
    """
    joined: dict[str, Source] = dict(stored)
    for name, codes in stored.items():
        if not name.endswith(_BLOCKS):
            continue
        scales = joined.pop(name.removesuffix(_BLOCKS) + _SCALES, None)
        fits = len(codes.shape) == 4 and codes.shape[3] == _CODE_BYTES
        if not isinstance(scales, StoredTensor) or not fits or scales.shape != codes.shape[:3]:
            found = "none" if scales is None else f"{scales.type} {scales.shape}"
            raise CheckpointError(
                f"tensor {name} of {codes.type} {codes.shape} needs 16 bytes a block and scales "
                f"of one byte a block; the scales are {found}"
            )
        if codes.type != "U8" or scales.type != "U8":
            raise CheckpointError(
                f"tensor {name} is {codes.type}, its scales {scales.type}; not U8"
            )
        joined[name] = PackedTensor(codes, scales)
    return joined
