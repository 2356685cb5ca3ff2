"""The ragged batch: any mix of prompts and single tokens of any sequences, flat, in one forward pass."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Batch:
    """T tokens of S sequences. The tokens of a sequence stand in order of position.

    `blocks` is the page table: cache block numbers of each sequence, block j holding positions
    j·64 … j·64+63; entries beyond a sequence's length are not read.
    """

    tokens: np.ndarray  # int32 [T], token ids
    positions: np.ndarray  # int32 [T], position in the token's own sequence, from 0
    sequences: np.ndarray  # int32 [T], row of `blocks` that the token belongs to
    blocks: np.ndarray  # int32 [S, B], cache blocks of each sequence
    rows: np.ndarray  # int32 [R], tokens whose logits (or states) are wanted
