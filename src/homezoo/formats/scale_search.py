"""Scales (and minima) that round groups of floats to few integers with the least squared error.

Arrays hold one group to a column, [S, M]: S elements of M groups, so that every sum runs over the
first axis in order and gives the same bits on every machine.
"""

from collections.abc import Callable, Sequence

import numpy as np

from homezoo.formats.blocks_32 import IQ4_VALUES

# Groups whose largest value is smaller become zeros: every scale is a float16, of at least 2^-24,
# and inverse scales stay finite.
_TINY = np.float32(1e-30)
# Half-integer cells from -128 to 127.5 and the nearest of IQ4_VALUES. All midpoints between
# neighbouring values are multiples of 1/2, so that a cell has one nearest value.
_CELLS = np.arange(-256, 256, dtype=np.float32) / 2 + np.float32(0.25)
_NEAREST_IQ4 = np.abs(_CELLS[:, None] - IQ4_VALUES).argmin(axis=1).astype(np.uint8)
# Numbers that the largest value of a group may be scaled to, tried in turn: around the ends of the
# codebook, -127 (in steps of a hundredth of the range) and 113.
IQ4_TARGETS = (*range(-141, -112, 2), 105, 113, 121)
# Steps added to the largest code, tried in turn: a smaller scale clips the largest values of a
# group and rounds all others finer. Steps of a quarter cost two trained models 0.2 and 4 % in KL.
_MINIMA_STEPS = tuple(step / 10 for step in range(-10, 11))

Nearest = Callable[[np.ndarray], np.ndarray]


def linear_targets(low: int) -> tuple[float, ...]:
    """Targets for codes from `low` to -low - 1: the largest value lands within 0.9 of `low`."""
    return tuple(low + step / 10 for step in range(-9, 10, 2))


def nearest_linear(low: int) -> Nearest:
    """Function from scaled values to the nearest codes of `low` to -low - 1, all float32."""
    return lambda scaled: np.clip(np.rint(scaled), low, -low - 1)


def nearest_iq4_index(scaled: np.ndarray) -> np.ndarray:
    """Indices into IQ4_VALUES of the values nearest to `scaled`: uint8 of the same shape."""
    cells = np.clip(np.floor(scaled * 2) + 256, 0, 511).astype(np.int16)
    return _NEAREST_IQ4[cells]


def nearest_iq4(scaled: np.ndarray) -> np.ndarray:
    """The IQ4_VALUES nearest to `scaled`, float32 of the same shape."""
    return IQ4_VALUES[nearest_iq4_index(scaled)].astype(np.float32)


def inverse(x: np.ndarray) -> np.ndarray:
    """1 / x, and 0 where x is (nearly) 0."""
    zero = np.abs(x) < _TINY
    return np.where(zero, np.float32(0), 1 / np.where(zero, 1, x)).astype(np.float32)


def round_to_half(x: np.ndarray) -> np.ndarray:
    """Floats rounded to float16, as float32."""
    return x.astype(np.float16).astype(np.float32)


def peak(x: np.ndarray) -> np.ndarray:
    """The value of largest magnitude, with its sign, in each column of [S, M]: [M]."""
    index = np.abs(x).argmax(axis=0)
    return np.take_along_axis(x, index[None], axis=0)[0]


def magnitudes(x: np.ndarray) -> np.ndarray:
    """Weights of errors for values float32 [S, M], of the same shape: their size plus its mean.

    A value that is large was made so by training, and stands for inputs that matter.
    """
    mean = np.sqrt((x * x).mean(axis=0))  # root mean square of each group
    return np.asarray(np.abs(x) + mean + _TINY, np.float32)


def fit_scale(
    x: np.ndarray, nearest: Nearest, targets: Sequence[float], weights: np.ndarray | None = None
) -> np.ndarray:
    """Signed scales for x ≈ scale * code: float32 [S, M] to float32 [M].

    For each target the codes are the nearest to x * target / peak. For given codes q the best scale
    is Σwxq / Σwq², which lowers the squared error by (Σwxq)² / Σwq²: the target that lowers it most
    is kept. `weights` w are [S, M], or all 1.
    """
    weighted = x if weights is None else x * weights
    inverse_peak = inverse(peak(x))
    scale = np.zeros(x.shape[1], dtype=np.float32)
    best = np.zeros_like(scale)
    for target in targets:
        codes = nearest(x * (inverse_peak * np.float32(target)))
        along = (weighted * codes).sum(axis=0)
        squares = codes * codes if weights is None else codes * codes * weights
        candidate = along * inverse(squares.sum(axis=0))
        gain = candidate * along
        better = gain > best
        scale[better], best[better] = candidate[better], gain[better]
    return scale


def fit_scale_and_minimum(
    x: np.ndarray, largest: int, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scales and minima, both at least 0, for x ≈ scale * code - minimum: [S, M] to two [M].

    Codes run from 0 to `largest`. For each step the codes are those of a scale of range / (largest
    + step); for given codes scale and minimum are the least-squares line, or the best scale alone
    where the line's minimum would be negative. `weights` of squared errors are [S, M], or all 1.
    """
    weights = np.ones_like(x) if weights is None else weights
    count = weights.sum(axis=0)
    weighted = x * weights
    low = np.minimum(x.min(axis=0), 0)
    inverse_range = inverse(x.max(axis=0) - low)
    sum_x = weighted.sum(axis=0)
    scale = np.zeros(x.shape[1], dtype=np.float32)
    minimum = np.maximum(-sum_x / count, 0)  # the best where all values are equal
    best = np.where(inverse_range > 0, np.float32(-np.inf), np.float32(np.inf))
    for step in _MINIMA_STEPS:
        codes = np.clip(
            np.rint((x - low) * (inverse_range * np.float32(largest + step))), 0, largest
        )
        weighted_codes = codes * weights
        sum_q, sum_qq = weighted_codes.sum(axis=0), (codes * weighted_codes).sum(axis=0)
        sum_xq = (weighted * codes).sum(axis=0)
        slope = (count * sum_xq - sum_q * sum_x) * inverse(count * sum_qq - sum_q * sum_q)
        offset = (slope * sum_q - sum_x) / count
        alone = offset < 0
        slope = np.where(alone, sum_xq * inverse(sum_qq), slope)
        offset = np.maximum(offset, 0)
        gain = slope * sum_xq - offset * sum_x  # the squared error is Σx² less this
        better = (gain > best) & (slope > 0)
        scale[better], minimum[better] = slope[better], offset[better]
        best[better] = gain[better]
    return scale, minimum
