"""A named array of blocks, as it lies in a file: the one currency of files and arithmetic."""

from dataclasses import dataclass

import numpy as np

from homezoo.formats.block_types import BlockType


@dataclass(frozen=True, eq=False)
class Tensor:
    """Rows of blocks. `shape` is row-major (slowest first): a weight is (N rows, K reduction)."""

    name: str
    type: BlockType
    shape: tuple[int, ...]
    data: np.ndarray  # uint8 [product of all but the last dimension, bytes of one row]; read-only

    @property
    def rows(self) -> int:
        """Number of rows N: the product of all dimensions but the last."""
        return int(self.data.shape[0])

    @property
    def width(self) -> int:
        """Elements in a row, K."""
        return self.shape[-1]
