"""The real small model in every block format, for comparing perplexities.

Its rows of 64 and 172 values fill no block of 256, so it is first padded with zeros to rows of 256:
the same function, as the norms are rescaled (the mean square of 256 values with 192 zeros is a
quarter), the added heads have no values, and quantised zeros stay zeros. Used by agreement.py.
"""

from pathlib import Path

import numpy as np

from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter

PADDED = 256  # values of every row
# llama.cpp's numbers for files of each format (llama_ftype); mixes are named after their largest.
FILE_TYPES = {
    BlockType.F32: 0,
    BlockType.F16: 1,
    BlockType.Q4_0: 2,
    BlockType.Q4_1: 3,
    BlockType.Q8_0: 7,
    BlockType.Q5_0: 8,
    BlockType.Q5_1: 9,
    BlockType.Q2_K: 10,
    BlockType.Q3_K: 12,
    BlockType.Q4_K: 15,
    BlockType.Q5_K: 17,
    BlockType.Q6_K: 18,
    BlockType.IQ4_NL: 25,
    BlockType.IQ4_XS: 30,
    BlockType.BF16: 32,
    BlockType.MXFP4: 38,
}


def write_padded(source: Path, path: Path, type: BlockType) -> None:
    """Writes the model of `source` with rows of 256 values and all matrices in `type`."""
    with GGUFFile.open(source) as file, GGUFWriter(path) as writer:
        sizes = padded_sizes(file)
        writer.copy_metadata(file.metadata, skip=[*sizes, "general.file_type"])
        for key, value in sizes.items():
            writer.add(key, value)
        writer.add("general.file_type", FILE_TYPES[type])
        arrays = {name: padded(name, values_of(file, name)) for name in file.tensors}
        types = {name: type if array.ndim == 2 else BlockType.F32 for name, array in arrays.items()}
        for name, array in arrays.items():
            writer.declare(name, types[name], array.shape)
        for name, array in arrays.items():
            rows = array if array.ndim == 2 else array[None]
            writer.write(name, quantize(types[name], rows))


def padded_sizes(file: GGUFFile) -> dict[str, int | float]:
    """The metadata that padding changes: widths, numbers of heads, and epsilon."""
    old = {key.removeprefix("llama."): value for key, value in file.metadata.items()}
    factor = PADDED // old["embedding_length"]
    assert factor * old["embedding_length"] == PADDED >= old["feed_forward_length"]
    head_width = old["embedding_length"] // old["attention.head_count"]
    return {
        "llama.embedding_length": PADDED,
        "llama.feed_forward_length": PADDED,
        "llama.attention.head_count": old["attention.head_count"] * factor,
        "llama.attention.head_count_kv": old["attention.head_count_kv"] * factor,
        "llama.attention.layer_norm_rms_epsilon": old["attention.layer_norm_rms_epsilon"] / factor,
        "llama.rope.dimension_count": head_width,
    }


def values_of(file: GGUFFile, name: str) -> np.ndarray:
    """float32 of the tensor's own shape."""
    tensor = file.tensors[name]
    return dequantize(tensor.type, tensor.data).reshape(tensor.shape)


def padded(name: str, values: np.ndarray) -> np.ndarray:
    """A norm [64] to [256] and half as large; a matrix to 256 columns and, inside, more rows."""
    if values.ndim == 1:
        scale = np.float32((len(values) / PADDED) ** 0.5)
        return np.pad(values * scale, (0, PADDED - len(values)))
    rows = len(values)
    if "token_embd" not in name:  # keys and values of 4 heads of 8 become 16 heads
        rows = 128 if rows == 32 else PADDED
    return np.pad(values, ((0, rows - len(values)), (0, PADDED - values.shape[1])))
