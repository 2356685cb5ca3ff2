"""The two type tables of GGUF: metadata value types, and every tensor type with its block size.

Source: the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md) and ggml.h's enum ggml_type.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32  # the specification's, when general.alignment is absent
MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
MAX_KEY_BYTES = 65535  # the specification's limit
MAX_NAME_BYTES = 255  # of a tensor; the specification says 64, but ggml can be built for more
MAX_ALIGNMENT = 1 << 20  # far above any page or disk block


class ValueType(IntEnum):
    """Numbers of the metadata value types."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


# Little-endian, as all files that homezoo reads and writes.
NUMBER_DTYPES: dict[ValueType, np.dtype] = {
    ValueType.UINT8: np.dtype("u1"),
    ValueType.INT8: np.dtype("i1"),
    ValueType.UINT16: np.dtype("<u2"),
    ValueType.INT16: np.dtype("<i2"),
    ValueType.UINT32: np.dtype("<u4"),
    ValueType.INT32: np.dtype("<i4"),
    ValueType.FLOAT32: np.dtype("<f4"),
    ValueType.BOOL: np.dtype("?"),
    ValueType.UINT64: np.dtype("<u8"),
    ValueType.INT64: np.dtype("<i8"),
    ValueType.FLOAT64: np.dtype("<f8"),
}


class TensorLayout(NamedTuple):
    """Name of a tensor type, elements of one block, bytes of one block."""

    name: str
    block_size: int
    block_bytes: int


# All types that a GGUF file may name, whether homezoo computes with them or not (those are in
# BlockType). 4 and 5 went before GGUF came; 31 to 33 and 36 to 38 are gone from ggml, but files
# with them are still about.
TENSOR_LAYOUTS: dict[int, TensorLayout] = {
    0: TensorLayout("F32", 1, 4),
    1: TensorLayout("F16", 1, 2),
    2: TensorLayout("Q4_0", 32, 18),
    3: TensorLayout("Q4_1", 32, 20),
    6: TensorLayout("Q5_0", 32, 22),
    7: TensorLayout("Q5_1", 32, 24),
    8: TensorLayout("Q8_0", 32, 34),
    9: TensorLayout("Q8_1", 32, 40),
    10: TensorLayout("Q2_K", 256, 84),
    11: TensorLayout("Q3_K", 256, 110),
    12: TensorLayout("Q4_K", 256, 144),
    13: TensorLayout("Q5_K", 256, 176),
    14: TensorLayout("Q6_K", 256, 210),
    15: TensorLayout("Q8_K", 256, 292),
    16: TensorLayout("IQ2_XXS", 256, 66),
    17: TensorLayout("IQ2_XS", 256, 74),
    18: TensorLayout("IQ3_XXS", 256, 98),
    19: TensorLayout("IQ1_S", 256, 50),
    20: TensorLayout("IQ4_NL", 32, 18),
    21: TensorLayout("IQ3_S", 256, 110),
    22: TensorLayout("IQ2_S", 256, 82),
    23: TensorLayout("IQ4_XS", 256, 136),
    24: TensorLayout("I8", 1, 1),
    25: TensorLayout("I16", 1, 2),
    26: TensorLayout("I32", 1, 4),
    27: TensorLayout("I64", 1, 8),
    28: TensorLayout("F64", 1, 8),
    29: TensorLayout("IQ1_M", 256, 56),
    30: TensorLayout("BF16", 1, 2),
    31: TensorLayout("Q4_0_4_4", 32, 18),
    32: TensorLayout("Q4_0_4_8", 32, 18),
    33: TensorLayout("Q4_0_8_8", 32, 18),
    34: TensorLayout("TQ1_0", 256, 54),
    35: TensorLayout("TQ2_0", 256, 66),
    36: TensorLayout("IQ4_NL_4_4", 32, 18),
    37: TensorLayout("IQ4_NL_4_8", 32, 18),
    38: TensorLayout("IQ4_NL_8_8", 32, 18),
    39: TensorLayout("MXFP4", 32, 17),
    40: TensorLayout("NVFP4", 64, 36),
    41: TensorLayout("Q1_0", 128, 18),
}
