"""Rounds a weight so that its *output* error is small on calibration inputs, in standard formats.

Columns are rounded in order, and what each rounding does to the output is taken back by the columns
that follow (Frantar et al. 2022, GPTQ, algorithm 1): for inputs x with H = Σ x xᵀ the error is
tr((W - Q) H (W - Q)ᵀ). A block's scales are chosen when its first column comes, from the weights as
changed by then, weighing each column by its mean squared input.
"""

from dataclasses import dataclass

import numpy as np

from homezoo.formats.block_fit import fit
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.zoo.block_codes import LAYOUTS, grid, nearest, put_codes

# Added to H's diagonal, as a share of its mean: keeps the inverse bounded where inputs never vary
# (the paper's 1 %).
DAMPING = 0.01
# Blocks are tried at these sizes before the quantiser scales them; the least error is kept. Smaller
# ones clip the largest weight and round all others finer.
_SHRINKS = (1.0, 0.96, 0.92, 0.88, 0.84, 0.8)
AWARE_TYPES = frozenset(LAYOUTS)  # Q8_0 and floats round so finely that nothing is gained


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the inputs x of a weight look like: H = Σ x xᵀ, and the factor of its inverse."""

    gram: np.ndarray  # float32 [K, K]
    upper: np.ndarray  # float32 [K, K]; U, upper triangular with UᵀU = H⁻¹ for the damped H

    @staticmethod
    def from_gram(gram: np.ndarray) -> "Inputs | None":
        """From H float64 [K, K]; None where it says nothing: not finite, or all zeros."""
        if not np.isfinite(gram).all() or not gram.trace() > 0:
            return None
        gram = gram * (len(gram) / gram.trace())  # of mean 1 on the diagonal: far from overflow
        return Inputs(gram.astype(np.float32), _inverse_factor(gram))


def quantize_aware(type: BlockType, weight: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Weights float32 [N, K] to rows of blocks, uint8 [N, row bytes]; each row by itself.

    Raises what `quantize` raises. Never worse on H than plain rounding: the better of both is kept,
    row by row.
    """
    plain = fit(type, weight)
    if type not in AWARE_TYPES:
        return plain
    upper = inputs.upper
    work = weight.astype(np.float32)  # [N, K], changed as columns are rounded
    importance = np.diag(inputs.gram)
    rounded = np.empty_like(work)
    blocks, size = [], type.block_size
    for start in range(0, weight.shape[1], size):
        part = slice(start, start + size)
        chosen = _scaled_blocks(type, work[:, part], importance[part])
        codes, rounded[:, part], errors = _round_block(
            type, chosen, work[:, part], upper[part, part]
        )
        work[:, start + size :] -= errors @ upper[part, start + size :]
        blocks.append(put_codes(type, chosen, codes))
    aware = np.concatenate(blocks, axis=1)
    return _better(type, weight, plain, aware, rounded, inputs.gram)


def _inverse_factor(gram: np.ndarray) -> np.ndarray:
    """U of Inputs: float32 [K, K]."""
    damped = gram + np.eye(len(gram)) * (DAMPING * gram.trace() / len(gram))
    inverse = np.linalg.inv(damped)
    lower = np.linalg.cholesky((inverse + inverse.T) / 2)
    return np.asarray(lower.T, np.float32)


def _scaled_blocks(type: BlockType, values: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Blocks of the values [N, S] whose scales err least, weighed by `importance` [S]."""
    best = least = None
    for shrink in _SHRINKS:
        limit = np.abs(values).max(axis=1, keepdims=True) * np.float32(shrink)
        make = fit if shrink == 1.0 else quantize
        blocks = make(type, np.clip(values, -limit, limit))
        step, offset = grid(type, blocks)
        error = ((_nearest_values(type, values, step, offset)[1] - values) ** 2) @ importance  # [N]
        if best is None or least is None:
            best, least = blocks, error
        else:
            better = error < least
            best[better], least[better] = blocks[better], error[better]
    assert best is not None
    return best


def _nearest_values(
    type: BlockType, values: np.ndarray, step: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Codes uint8 and what they stand for, both of the shape of `values`."""
    layout = LAYOUTS[type]
    safe = np.where(step == 0, np.float32(1), step)
    scaled = np.where(step == 0, np.float32(0), (values - offset) / safe)
    codes = nearest(layout, np.clip(scaled, -1e4, 1e4))
    return codes, np.asarray(layout.values, np.float32)[codes] * step + offset


def _round_block(
    type: BlockType, blocks: np.ndarray, values: np.ndarray, upper: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes uint8, rounded values and scaled errors float32, all [N, S], column after column."""
    step, offset = grid(type, blocks)
    work = values.copy()
    codes = np.empty(work.shape, np.uint8)
    rounded, errors = np.empty_like(work), np.empty_like(work)
    for j in range(work.shape[1]):
        codes[:, j], rounded[:, j] = _nearest_values(type, work[:, j], step[:, j], offset[:, j])
        errors[:, j] = (work[:, j] - rounded[:, j]) / upper[j, j]
        work[:, j + 1 :] -= errors[:, j, None] * upper[j, j + 1 :]
    return codes, rounded, errors


def _better(
    type: BlockType,
    weight: np.ndarray,
    plain: np.ndarray,
    aware: np.ndarray,
    rounded: np.ndarray,
    gram: np.ndarray,
) -> np.ndarray:
    """Of each row the bytes with the smaller output error."""
    change, other = weight - dequantize(type, plain), weight - rounded
    plain_error = ((change @ gram) * change).sum(axis=1)
    aware_error = ((other @ gram) * other).sum(axis=1)
    return np.where((aware_error < plain_error)[:, None], aware, plain)
