"""The block formats that a GGUF tensor may have: type number, elements and bytes of a block.

Source: the tensor type table of the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md).
"""

from enum import IntEnum

from homezoo.errors import UnsupportedError


class BlockType(IntEnum):
    """GGUF tensor type numbers of the formats homezoo computes with."""

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q4_1 = 3
    Q5_0 = 6
    Q5_1 = 7
    Q8_0 = 8
    Q2_K = 10
    Q3_K = 11
    Q4_K = 12
    Q5_K = 13
    Q6_K = 14
    IQ4_NL = 20
    IQ4_XS = 23
    BF16 = 30
    MXFP4 = 39

    @property
    def block_size(self) -> int:
        """Elements in one block: 1, 32 or 256."""
        return _LAYOUT[self][0]

    @property
    def block_bytes(self) -> int:
        """Bytes of one block."""
        return _LAYOUT[self][1]

    def row_bytes(self, width: int) -> int:
        """Bytes of a row of `width` elements; UnsupportedError when no whole number of blocks."""
        if width % self.block_size:
            raise UnsupportedError(
                f"{self.name} needs rows of a multiple of {self.block_size} elements, found {width}"
            )
        return width // self.block_size * self.block_bytes


_LAYOUT = {
    BlockType.F32: (1, 4),
    BlockType.F16: (1, 2),
    BlockType.BF16: (1, 2),
    BlockType.Q4_0: (32, 18),
    BlockType.Q4_1: (32, 20),
    BlockType.Q5_0: (32, 22),
    BlockType.Q5_1: (32, 24),
    BlockType.Q8_0: (32, 34),
    BlockType.Q2_K: (256, 84),
    BlockType.Q3_K: (256, 110),
    BlockType.Q4_K: (256, 144),
    BlockType.Q5_K: (256, 176),
    BlockType.Q6_K: (256, 210),
    BlockType.IQ4_NL: (32, 18),
    BlockType.IQ4_XS: (256, 136),
    BlockType.MXFP4: (32, 17),
}
