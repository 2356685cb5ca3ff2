"""The exact integers and the scales inside quantised rows: what every block format comes down to.

Letters: N rows, B blocks of a row, G groups of a block, S elements of a group;
G * S is the block size.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class IntegerBlocks:
    """Weights as scale * group_scale * codes, less min_scale * group_min if the format has minima.

    Codes are the signed integers that are multiplied: offsets are already subtracted (Q4_0 gives
    -8 to 7) and codebooks looked up (IQ4_NL, MXFP4). Formats with one group to a block have group
    scales of 1. Q4_1 and Q5_1 store a minimum m that is added: it is min_scale = -m, group_min = 1.
    """

    scale: np.ndarray  # float32 [N, B]
    group_scale: np.ndarray  # int16 [N, B, G]
    codes: np.ndarray  # int8 [N, B, G, S]
    min_scale: np.ndarray | None = None  # float32 [N, B]
    group_min: np.ndarray | None = None  # int16 [N, B, G]; present with min_scale

    def values(self) -> np.ndarray:
        """The weights, float32 [N, K], rounded after each product as the `gguf` package does it."""
        rows, blocks, groups, size = self.codes.shape
        scale = self.scale[..., None] * self.group_scale.astype(np.float32)  # [N, B, G]
        values = self.codes.astype(np.float32)
        values *= scale[..., None]
        if self.min_scale is not None and self.group_min is not None:
            minimum = self.min_scale[..., None] * self.group_min.astype(np.float32)
            values -= minimum[..., None]
        return values.reshape(rows, blocks * groups * size)
