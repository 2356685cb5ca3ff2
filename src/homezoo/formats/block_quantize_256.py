"""Floats to the block formats of 256 elements: the K-quants and IQ4_XS.

First each group is fitted on its own (scale_search.py), then the group scales are rounded to
integers times one float16 of the block, then the codes are rounded again with the scales as they
are stored, and the float16 is refitted to those codes. With minima, integers beside are tried too.
The error of an element weighs as much as its size and the mean size of its group: on trained models
that costs less than equal weights.
Each function takes float32 [M, 256] and gives uint8 [M, bytes of a block]; layouts: blocks_256.py.
"""

from collections.abc import Sequence

import numpy as np

from homezoo.formats.bit_fields import pack_bits
from homezoo.formats.block_quantize_32 import half_bytes
from homezoo.formats.scale_search import (
    IQ4_TARGETS,
    Nearest,
    fit_scale,
    fit_scale_and_minimum,
    inverse,
    linear_targets,
    magnitudes,
    nearest_iq4,
    nearest_iq4_index,
    nearest_linear,
    peak,
    round_to_half,
)

# Steps tried from a group's integer scale and minimum, round by round; the pair itself comes first
# and stays if equal. Weighted error of a trained model's Q4_K: 3.42e-4 without, 3.31 after three
# rounds of one step, 3.30 with two steps in the first, 3.30 with two in all.
_NEAR, _FAR = (
    sorted(((a, b) for a in steps for b in steps), key=lambda pair: pair != (0, 0))
    for steps in ((-1, 0, 1), (-2, -1, 0, 1, 2))
)
_ROUNDS = (_FAR, _NEAR, _NEAR)


def _columns(x: np.ndarray, size: int) -> np.ndarray:
    """Blocks [M, 256] as columns of groups, float32 [size, M * 256 / size]."""
    return np.ascontiguousarray(x.reshape(-1, size).T)


def _signed_block(
    x: np.ndarray, size: int, lowest_scale: int, nearest: Nearest, targets: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x ≈ d * scale * code: d [M], int16 scales [M, G] and the scaled x that codes round [M, G, S].

    Group scales run from `lowest_scale` to -lowest_scale - 1.
    """
    columns = _columns(x, size)
    weights = magnitudes(columns)
    fitted = fit_scale(columns, nearest, targets, weights).reshape(len(x), -1)  # [M, G]
    d = round_to_half(peak(fitted.T) / lowest_scale)
    scales = np.clip(np.rint(fitted * inverse(d)[:, None]), lowest_scale, -lowest_scale - 1)
    inverses = inverse(d[:, None] * scales)
    scaled = x.reshape(len(x), -1, size) * inverses[..., None]  # [M, G, S]
    products = nearest(scaled) * scales[..., None]
    weighted = products * weights.T.reshape(products.shape)
    along = (x.reshape(products.shape) * weighted).sum(axis=(1, 2))
    squares = (products * weighted).sum(axis=(1, 2))
    refitted = round_to_half(along * inverse(squares))
    # The squared error is Σx² + d² Σproducts² - 2 d Σx·products.
    worse = refitted * (refitted * squares - 2 * along) >= d * (d * squares - 2 * along)
    return np.where(worse, d, refitted), scales.astype(np.int16), scaled


def q3_k(x: np.ndarray) -> np.ndarray:
    """See blocks_256.q3_k."""
    nearest = nearest_linear(-4)
    d, scales, scaled = _signed_block(x, 16, -32, nearest, linear_targets(-4))
    codes = (nearest(scaled) + 4).astype(np.uint8).reshape(-1, 256)
    stored = (scales + 32).astype(np.uint8)
    return np.concatenate(
        [
            pack_bits(codes >> 2, 1, 32),
            pack_bits(codes & 3, 2, 32),
            pack_bits(stored & 15, 4, 8),
            pack_bits(stored >> 4, 2, 4),
            half_bytes(d),
        ],
        axis=1,
    )


def q6_k(x: np.ndarray) -> np.ndarray:
    """See blocks_256.q6_k."""
    nearest = nearest_linear(-32)
    d, scales, scaled = _signed_block(x, 16, -128, nearest, linear_targets(-32))
    codes = (nearest(scaled) + 32).astype(np.uint8).reshape(-1, 256)
    stored = scales.astype(np.int8).view(np.uint8)
    low, high = pack_bits(codes & 15, 4, 64), pack_bits(codes >> 4, 2, 32)
    return np.concatenate([low, high, stored, half_bytes(d)], axis=1)


def iq4_xs(x: np.ndarray) -> np.ndarray:
    """See blocks_256.iq4_xs."""
    d, scales, scaled = _signed_block(x, 32, -32, nearest_iq4, IQ4_TARGETS)
    codes = nearest_iq4_index(scaled).reshape(-1, 256)
    stored = (scales + 32).astype(np.uint8)
    high, low = pack_bits(stored >> 4, 2, 1), pack_bits(stored & 15, 4, 1)
    return np.concatenate([half_bytes(d), high, low, pack_bits(codes, 4, 16)], axis=1)


def _refit_line(
    x: np.ndarray,
    weights: np.ndarray,
    products: np.ndarray,
    minima: np.ndarray,
    d: np.ndarray,
    dmin: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """d, dmin [M] of least squared error for x ≈ d * products - dmin * minima, or the given ones.

    x, weights of the errors and products are [M, G, S], minima [M, G]. Solves the two normal
    equations in float64.
    """
    weighted = products * weights
    pp = (products * weighted).sum(axis=(1, 2), dtype=np.float64)
    pm = (weighted.sum(axis=2, dtype=np.float64) * minima).sum(axis=1)
    mm = (minima * minima * weights.sum(axis=2, dtype=np.float64)).sum(axis=1)
    xp = (x * weighted).sum(axis=(1, 2), dtype=np.float64)
    xm = ((x * weights).sum(axis=2, dtype=np.float64) * minima).sum(axis=1)
    determinant = pp * mm - pm * pm
    solvable = determinant > 1e-6 * pp * mm  # else products and minima are nearly parallel
    safe = np.where(solvable, determinant, 1)
    new_d = round_to_half(np.where(solvable, (xp * mm - xm * pm) / safe, d))
    new_dmin = round_to_half(np.where(solvable, (xp * pm - xm * pp) / safe, dmin))

    def error(d: np.ndarray, dmin: np.ndarray) -> np.ndarray:  # less Σx²
        return d * d * pp + dmin * dmin * mm - 2 * (d * xp - dmin * xm + d * dmin * pm)

    worse = error(new_d, new_dmin) >= error(d, dmin)
    return np.where(worse, d, new_d), np.where(worse, dmin, new_dmin)


def _codes(
    x: np.ndarray,
    d: np.ndarray,
    dmin: np.ndarray,
    scales: np.ndarray,
    minima: np.ndarray,
    largest: int,
) -> np.ndarray:
    """Nearest codes of 0 to `largest` for x ≈ d * scale * code - dmin * minimum: [M, G, S]."""
    shifted = x + (dmin[:, None] * minima)[..., None]
    codes = np.rint(shifted * inverse(d[:, None] * scales)[..., None])
    return np.clip(codes, 0, largest)


def _better_neighbours(
    steps: Sequence[tuple[int, int]],
    x: np.ndarray,
    weights: np.ndarray,
    d: np.ndarray,
    dmin: np.ndarray,
    scales: np.ndarray,
    minima: np.ndarray,
    largest: int,
    largest_scale: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Of each group's scale and minimum and those `steps` away, the pair of least error: [M, G].

    What was the best line for a group need not be it once scale and minimum are integers.
    """
    best_scales, best_minima = scales, minima
    least = np.full(scales.shape, np.inf, np.float32)
    for scale_step, minimum_step in steps:
        near = np.clip(scales + scale_step, 0, largest_scale)
        low = np.clip(minima + minimum_step, 0, largest_scale)
        codes = _codes(x, d, dmin, near, low, largest)
        error = x - (d[:, None] * near)[..., None] * codes + (dmin[:, None] * low)[..., None]
        total = (error * error * weights).sum(axis=2)
        better = total < least
        least = np.where(better, total, least)
        best_scales = np.where(better, near, best_scales)
        best_minima = np.where(better, low, best_minima)
    return best_scales, best_minima


def _minima_block(
    x: np.ndarray, size: int, largest: int, largest_scale: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x ≈ d * scale * code - dmin * minimum.

    Gives d, dmin [M]; scales, minima uint8 [M, G] of 0 to `largest_scale`; codes uint8 [M, 256]
    of 0 to `largest`.
    """
    columns = _columns(x, size)
    weights = magnitudes(columns)
    scale, minimum = fit_scale_and_minimum(columns, largest, weights)
    scale, minimum = scale.reshape(len(x), -1), minimum.reshape(len(x), -1)  # [M, G]
    d = round_to_half(scale.max(axis=1) / largest_scale)
    dmin = round_to_half(minimum.max(axis=1) / largest_scale)
    scales = np.minimum(np.rint(scale * inverse(d)[:, None]), largest_scale)
    minima = np.minimum(np.rint(minimum * inverse(dmin)[:, None]), largest_scale)
    grouped = x.reshape(len(x), -1, size)  # [M, G, S]
    weights = np.ascontiguousarray(weights.T).reshape(grouped.shape)
    for steps in _ROUNDS:
        scales, minima = _better_neighbours(
            steps, grouped, weights, d, dmin, scales, minima, largest, largest_scale
        )
        products = _codes(grouped, d, dmin, scales, minima, largest) * scales[..., None]
        d, dmin = _refit_line(grouped, weights, products, minima, d, dmin)
    codes = _codes(grouped, d, dmin, scales, minima, largest).astype(np.uint8).reshape(-1, 256)
    return d, dmin, scales.astype(np.uint8), minima.astype(np.uint8), codes


def q2_k(x: np.ndarray) -> np.ndarray:
    """See blocks_256.q2_k."""
    d, dmin, scales, minima, codes = _minima_block(x, 16, 3, 15)
    both = scales | minima << 4
    return np.concatenate([both, pack_bits(codes, 2, 32), half_bytes(d), half_bytes(dmin)], axis=1)


def _pack_six_bit_scales(scales: np.ndarray, minima: np.ndarray) -> np.ndarray:
    """Two uint8 [M, 8] of 6 bits to uint8 [M, 12]; see blocks_256."""
    first = scales[:, :4] | scales[:, 4:] >> 4 << 6
    second = minima[:, :4] | minima[:, 4:] >> 4 << 6
    last = scales[:, 4:] & 15 | minima[:, 4:] << 4
    return np.concatenate([first, second, last], axis=1)


def q4_k(x: np.ndarray) -> np.ndarray:
    """See blocks_256.q4_k."""
    d, dmin, scales, minima, codes = _minima_block(x, 32, 15, 63)
    head = [half_bytes(d), half_bytes(dmin), _pack_six_bit_scales(scales, minima)]
    return np.concatenate([*head, pack_bits(codes, 4, 32)], axis=1)


def q5_k(x: np.ndarray) -> np.ndarray:
    """See blocks_256.q5_k."""
    d, dmin, scales, minima, codes = _minima_block(x, 32, 31, 63)
    head = [half_bytes(d), half_bytes(dmin), _pack_six_bit_scales(scales, minima)]
    return np.concatenate(
        [*head, pack_bits(codes >> 4, 1, 32), pack_bits(codes & 15, 4, 32)], axis=1
    )
