"""What the bytes of every block format mean: rows of blocks to floats, and to exact integers.

This is the specification that the native kernels are tested against; it equals the `gguf` package
bit for bit.
"""

from collections.abc import Callable

import numpy as np

from homezoo.errors import GGUFError, UnsupportedError
from homezoo.formats import blocks_32, blocks_256
from homezoo.formats.block_types import BlockType
from homezoo.formats.integer_blocks import IntegerBlocks

# Elements dequantised at once: keeps the intermediate arrays (about 10 bytes each) in a few MB.
_CHUNK_ELEMENTS = 1 << 18

_UNPACK: dict[BlockType, Callable[[np.ndarray], IntegerBlocks]] = {
    BlockType.Q4_0: blocks_32.q4_0,
    BlockType.Q4_1: blocks_32.q4_1,
    BlockType.Q5_0: blocks_32.q5_0,
    BlockType.Q5_1: blocks_32.q5_1,
    BlockType.Q8_0: blocks_32.q8_0,
    BlockType.IQ4_NL: blocks_32.iq4_nl,
    BlockType.MXFP4: blocks_32.mxfp4,
    BlockType.Q2_K: blocks_256.q2_k,
    BlockType.Q3_K: blocks_256.q3_k,
    BlockType.Q4_K: blocks_256.q4_k,
    BlockType.Q5_K: blocks_256.q5_k,
    BlockType.Q6_K: blocks_256.q6_k,
    BlockType.IQ4_XS: blocks_256.iq4_xs,
}


def integer_blocks(type: BlockType, data: np.ndarray) -> IntegerBlocks:
    """The integers and scales of quantised rows, uint8 [N, row bytes].

    Codes of Q8_0 may be a view of `data`. Raises UnsupportedError for F32, F16 and BF16, which have
    no integers, and GGUFError when a row is no whole number of blocks.
    """
    if type not in _UNPACK:
        raise UnsupportedError(
            f"{type.name} holds floats, not integer blocks; dequantize it instead"
        )
    rows, blocks = data.shape[0], _row_blocks(type, data)
    return _UNPACK[type](data.reshape(rows, blocks, type.block_bytes))


def dequantize(type: BlockType, data: np.ndarray) -> np.ndarray:
    """Rows of blocks, uint8 [N, row bytes], to float32 [N, K].

    F32 gives a view of `data`, all others a new array. Raises GGUFError when a row is no whole
    number of blocks.
    """
    rows, blocks = data.shape[0], _row_blocks(type, data)
    if type is BlockType.F32:
        return data.view("<f4")
    if type is BlockType.F16:
        return data.view("<f2").astype(np.float32)
    if type is BlockType.BF16:
        return (data.view("<u2").astype(np.uint32) << 16).view(np.float32)
    width = blocks * type.block_size
    out = np.empty((rows, width), dtype=np.float32)
    step = max(1, _CHUNK_ELEMENTS // max(width, 1))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        out[part] = integer_blocks(type, data[part]).values()
    return out


def _row_blocks(type: BlockType, data: np.ndarray) -> int:
    """Blocks in a row of `data`; GGUFError unless it is uint8 [N, whole blocks]."""
    if data.ndim != 2 or data.dtype != np.uint8 or data.shape[1] % type.block_bytes:
        raise GGUFError(
            f"{type.name} rows must be uint8 [N, multiple of {type.block_bytes}], "
            f"found {data.dtype} {list(data.shape)}"
        )
    return int(data.shape[1]) // type.block_bytes
