"""Gradients with frozen weights in NumPy: of products, exactly and as the kernels do, and of rows.

The gradient of a product with respect to its input is dx = dy W. Scales of a weight's blocks change
from row to row, and rows are what is summed here, so that the int8 way rounds the weight again,
along its rows.
"""

from itertools import pairwise

import numpy as np

from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.ops.reference_matmul import fma, round_activations

PART_ROWS = 128  # rows of W summed apart, with exact floats
TURNED_ROWS = 1024  # likewise with int8
BLOCK = 32  # rows of W, and values of dy, that share a scale in int8


def input_gradient_exact(dy: np.ndarray, weight: Tensor) -> np.ndarray:
    """dy float32 [T, N] times weight [N, K], summed in float64: float32 [T, K]."""
    values = dequantize(weight.type, weight.data).astype(np.float64)
    return (dy.astype(np.float64) @ values).astype(np.float32)


def input_gradient_floats(dy: np.ndarray, weight: Tensor) -> np.ndarray:
    """The kernels' dy [T, N] times weight [N, K] in floats, to the bit: [T, K].

    A part of the rows is one chain of fma over them in order; parts are added in order.
    """
    values = dequantize(weight.type, weight.data)
    dx = np.zeros((len(dy), weight.width), np.float32)
    for begin in range(0, weight.rows, PART_ROWS):
        part = np.zeros_like(dx)
        for n in range(begin, min(begin + PART_ROWS, weight.rows)):
            part = fma(values[None, n], dy[:, n, None], part)
        dx = part if begin == 0 else dx + part
    return dx


def input_gradient_int8(dy: np.ndarray, weight: Tensor) -> np.ndarray:
    """The kernels' dy [T, N] times weight [N, K] with both rounded to int8, to the bit: [T, K].

    dy is rounded as activations are, in blocks of 32 values; so is each column of the weight.
    Integers are exact inside a block; a part of the rows is one chain over its blocks.
    """
    codes, scales = round_activations(_whole_blocks(dy), BLOCK)  # [T, B, 32], [T, B]
    columns = _whole_blocks(dequantize(weight.type, weight.data).T)
    w_codes, w_scales = round_activations(columns, BLOCK)  # [K, B, 32], [K, B]
    dx = np.zeros((len(dy), weight.width), np.float32)
    each = TURNED_ROWS // BLOCK
    for begin in range(0, codes.shape[1], each):
        part = np.zeros_like(dx)
        for b in range(begin, min(begin + each, codes.shape[1])):
            total = codes[:, b].astype(np.float32) @ w_codes[:, b].astype(np.float32).T  # < 2^24
            part = fma(total, scales[:, b, None] * w_scales[None, :, b], part)
        dx = part if begin == 0 else dx + part
    return dx


def rms_norm_gradient(dy: np.ndarray, x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    """For x [R, D] of y = x r w, r = 1 / sqrt(mean(x²) + eps): r (dy w - x r² mean(dy w x))."""
    wide, weighted = x.astype(np.float64), dy.astype(np.float64) * weight
    r = 1.0 / np.sqrt(np.mean(wide**2, axis=1, keepdims=True) + eps)
    along = np.mean(weighted * wide, axis=1, keepdims=True)
    return np.asarray(r * (weighted - wide * r**2 * along), np.float32)


def silu_mul_gradient(
    dy: np.ndarray, gate: np.ndarray, up: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For gate and up of y = silu(gate) up, with s = sigmoid(gate).

    They are dy up s (1 + gate (1 - s)) and dy gate s.
    """
    wide = gate.astype(np.float64)
    with np.errstate(over="ignore"):  # e^1000 is infinite, and then s rightly 0
        s = 1.0 / (1.0 + np.exp(-wide))
    d_gate = dy * up.astype(np.float64) * s * (1.0 + wide * (1.0 - s))
    return d_gate.astype(np.float32), (dy * wide * s).astype(np.float32)


def attention_gradient(
    dy: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    starts: np.ndarray,
    head_width: int,
    scale: float,
    window: int,
    slopes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values of causal attention inside whole sequences, and gradients for q, k and v.

    q and dy [T, H·E], k and v [T, G·E]; sequence s is tokens starts[s] to starts[s + 1] - 1, and
    each position sees `window` positions, or all when 0. Float64; gradients of k and v are given
    for each query head: [T, H·E].
    """
    shared = q.shape[1] // k.shape[1]
    q, k, v, dy = (_by_head(x, head_width) for x in (q, k, v, dy))  # [heads, T, E]
    k, v = np.repeat(k, shared, 0), np.repeat(v, shared, 0)
    found = np.zeros((4, *q.shape))
    for start, stop in pairwise(starts):
        part = (slice(None), slice(start, stop))
        distance = np.arange(stop - start)[None] - np.arange(stop - start)[:, None]
        scores = scale * (q[part] @ k[part].transpose(0, 2, 1))  # [H, n, n]
        if slopes is not None:
            scores += slopes[:, None, None].astype(np.float64) * distance
        seen = (distance <= 0) & ((distance > -window) if window else True)
        weights = np.where(seen, np.exp(scores), 0.0)
        weights /= weights.sum(axis=2, keepdims=True)
        d_weights = dy[part] @ v[part].transpose(0, 2, 1)
        shares = (weights * d_weights).sum(axis=2, keepdims=True)
        d_scores = scale * weights * (d_weights - shares)
        turned = (0, 2, 1)
        found[0][part] = weights @ v[part]
        found[1][part] = d_scores @ k[part]
        found[2][part] = d_scores.transpose(turned) @ q[part]
        found[3][part] = weights.transpose(turned) @ dy[part]
    y, dq, dk, dv = (x.transpose(1, 0, 2).reshape(q.shape[1], -1) for x in found)
    return y, dq, dk, dv


def _by_head(x: np.ndarray, width: int) -> np.ndarray:
    """[T, heads · E] to float64 [heads, T, E]."""
    return x.astype(np.float64).reshape(len(x), -1, width).transpose(1, 0, 2)


def int8_bound(dy: np.ndarray, weight: Tensor) -> np.ndarray:
    """What the int8 way may be off from the exact product, each element: float64 [T, K].

    Every code is off by at most half a step: |error| ≤ Σ s_y/2 |w| + s_w/2 |y| + s_y s_w / 4, and
    the float chain adds two roundings a block and one a part, of at most the sum of magnitudes.
    """
    y, w = _whole_blocks(dy), _whole_blocks(dequantize(weight.type, weight.data).T)
    steps_y = np.repeat(round_activations(y, BLOCK)[1], BLOCK, axis=1).astype(np.float64)  # [T, N]
    steps_w = np.repeat(round_activations(w, BLOCK)[1], BLOCK, axis=1).astype(np.float64)  # [K, N]
    size_y, size_w = np.abs(y).astype(np.float64), np.abs(w).astype(np.float64)
    half = 0.50001  # of a step, and what the product with 127 / max loses
    rounding = half * (steps_y @ size_w.T + size_y @ steps_w.T) + half**2 * (steps_y @ steps_w.T)
    blocks = y.shape[1] // BLOCK
    chain = (3 * blocks + 3) * 2.0**-24 * (size_y @ size_w.T)
    bound: np.ndarray = rounding + 2 * chain
    return bound


def _whole_blocks(rows: np.ndarray) -> np.ndarray:
    """Rows [R, N] with zeros up to a multiple of 32."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % BLOCK)))
