"""The codes inside quantised blocks, exchanged while their scales stay: what rounding chooses."""

from dataclasses import dataclass

import numpy as np

from homezoo.formats.bit_fields import pack_bits
from homezoo.formats.block_types import BlockType as T
from homezoo.formats.blocks import integer_blocks
from homezoo.formats.blocks_32 import IQ4_VALUES, MXFP4_VALUES


@dataclass(frozen=True)
class CodeLayout:
    """Where a block keeps its codes: (first byte, bits, run) of the low bits and of the high."""

    values: tuple[int, ...]  # what the codes 0, 1, 2, … stand for
    low: tuple[int, int, int]
    high: tuple[int, int, int] | None = None


def _range(low: int, count: int) -> tuple[int, ...]:
    return tuple(range(low, low + count))


_IQ4 = tuple(int(value) for value in IQ4_VALUES)
_MXFP4 = tuple(int(value) for value in MXFP4_VALUES)
LAYOUTS: dict[T, CodeLayout] = {  # as blocks_32.py and blocks_256.py read them
    T.Q4_0: CodeLayout(_range(-8, 16), (2, 4, 16)),
    T.Q4_1: CodeLayout(_range(0, 16), (4, 4, 16)),
    T.Q5_0: CodeLayout(_range(-16, 32), (6, 4, 16), (2, 1, 1)),
    T.Q5_1: CodeLayout(_range(0, 32), (8, 4, 16), (4, 1, 1)),
    T.IQ4_NL: CodeLayout(_IQ4, (2, 4, 16)),
    T.MXFP4: CodeLayout(_MXFP4, (1, 4, 16)),
    T.Q2_K: CodeLayout(_range(0, 4), (16, 2, 32)),
    T.Q3_K: CodeLayout(_range(-4, 8), (32, 2, 32), (0, 1, 32)),
    T.Q4_K: CodeLayout(_range(0, 16), (16, 4, 32)),
    T.Q5_K: CodeLayout(_range(0, 32), (48, 4, 32), (16, 1, 32)),
    T.Q6_K: CodeLayout(_range(-32, 64), (0, 4, 64), (128, 2, 32)),
    T.IQ4_XS: CodeLayout(_IQ4, (8, 4, 16)),
}


def grid(type: T, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step and offset of every element of single blocks: uint8 [N, bytes] to two float32 [N, S].

    An element is step * value + offset, the value being one of the layout's.
    """
    parts = integer_blocks(type, blocks)
    size = parts.codes.shape[-1]
    step = parts.scale[..., None] * parts.group_scale.astype(np.float32)  # [N, 1, G]
    offset = np.zeros_like(step)
    if parts.min_scale is not None and parts.group_min is not None:
        offset = -parts.min_scale[..., None] * parts.group_min.astype(np.float32)
    return np.repeat(step[:, 0], size, axis=1), np.repeat(offset[:, 0], size, axis=1)


def nearest(layout: CodeLayout, scaled: np.ndarray) -> np.ndarray:
    """Codes whose values are nearest to `scaled`: float32 to uint8 of the same shape."""
    values = layout.values
    if values == _range(values[0], len(values)):
        codes = np.clip(np.rint(scaled) - values[0], 0, len(values) - 1)
        return codes.astype(np.uint8)
    order = np.argsort(np.asarray(values), kind="stable")
    ascending = np.asarray(values, np.float32)[order]
    middles = (ascending[1:] + ascending[:-1]) / 2
    return order.astype(np.uint8)[np.searchsorted(middles, scaled)]


def put_codes(type: T, blocks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Single blocks uint8 [N, bytes] with these codes, uint8 [N, S], and their own scales."""
    layout, out = LAYOUTS[type], blocks.copy()
    start, bits, run = layout.low
    packed = pack_bits(codes & np.uint8((1 << bits) - 1), bits, run)
    out[:, start : start + packed.shape[1]] = packed
    if layout.high:
        start, high_bits, run = layout.high
        packed = pack_bits(codes >> np.uint8(bits), high_bits, run)
        out[:, start : start + packed.shape[1]] = packed
    return out
