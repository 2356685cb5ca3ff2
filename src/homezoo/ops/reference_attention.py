"""What attention means, in NumPy: rows into and out of the cache, and blocks merged in order."""

import numpy as np

from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.ops.protocol import (
    BLOCK_POSITIONS,
    CAUSAL,
    AttentionForm,
    BatchArrays,
    CacheArrays,
)
from homezoo.ops.reference_matmul import round_activations


def encode_rows(x: np.ndarray, type: str) -> np.ndarray:
    """Keys or values, float32 [..., E], to cache rows: uint8 [..., row bytes].

    f16 rounds to nearest even. q8_0 rounds each 32 values as activations are, with float32 scales:
    code = round(x · (127 / max)); only then the scale max / 127 becomes float16.
    """
    if type == "f16":
        return x.astype("<f2").view(np.uint8)
    codes, scales = round_activations(x.reshape(-1, x.shape[-1]), BlockType.Q8_0.block_size)
    scale_bytes = scales[..., None].astype("<f2").view(np.uint8)  # [rows, B, 2]
    blocks = np.concatenate([scale_bytes, codes.view(np.uint8)], axis=2)  # [rows, B, 34]
    return blocks.reshape(*x.shape[:-1], -1)


def decode_rows(rows: np.ndarray, type: str) -> np.ndarray:
    """Cache rows, uint8 [..., row bytes], to float32 [..., E]."""
    block_type = BlockType.F16 if type == "f16" else BlockType.Q8_0
    values = dequantize(block_type, np.ascontiguousarray(rows).reshape(-1, rows.shape[-1]))
    return values.reshape(*rows.shape[:-1], -1)


def store(x: np.ndarray, array: np.ndarray, batch: BatchArrays, type: str) -> None:
    """Writes keys or values x [T, G·E] at the batch's places in `array` [blocks, G, 64, bytes]."""
    heads = x.reshape(len(x), array.shape[1], -1)  # [T, G, E]
    block = batch.blocks[batch.sequences, batch.positions // BLOCK_POSITIONS]  # [T]
    array[block, :, batch.positions % BLOCK_POSITIONS] = encode_rows(heads, type)


def attend(
    q: np.ndarray,
    batch: BatchArrays,
    cache: CacheArrays,
    layer: int,
    scale: float,
    window: int | None,
    form: AttentionForm = CAUSAL,
) -> np.ndarray:
    """Each token's queries q [T, H·E] against its own sequence: [T, H·E]."""
    out = np.empty_like(q)
    kv_heads = cache.k[layer].shape[1]
    for token, queries in enumerate(q):
        position = int(batch.positions[token])
        first = 0 if window is None else max(0, position + 1 - window)
        grouped = queries.astype(np.float64).reshape(kv_heads, -1, cache.head_width)  # [G, H/G, E]
        last = position if form.causal else _last_position(batch, token)
        merged = _Merged()
        for page in range(first // BLOCK_POSITIONS, last // BLOCK_POSITIONS + 1):
            start = page * BLOCK_POSITIONS
            seen = slice(max(first - start, 0), min(last - start + 1, BLOCK_POSITIONS))
            block = batch.blocks[batch.sequences[token], page]
            keys = decode_rows(cache.k[layer][block, :, seen], cache.type)  # [G, n, E]
            values = decode_rows(cache.v[layer][block, :, seen], cache.type)  # [G, n, E]
            scores = scale * (grouped @ keys.transpose(0, 2, 1))  # [G, H/G, n]
            if form.cap is not None:
                scores = form.cap * np.tanh(scores / form.cap)
            if form.slopes is not None:
                distance = np.arange(start + seen.start, start + seen.stop) - last  # [n]
                scores = scores + _by_group(form.slopes, kv_heads) * distance
            merged.add(scores, values)
        if form.sinks is not None:
            merged.sink(_by_group(form.sinks, kv_heads))
        out[token] = merged.result().reshape(-1)
    return out


def _by_group(values: np.ndarray, kv_heads: int) -> np.ndarray:
    """One number per query head [H] as float64 [G, H/G, 1]."""
    return values.astype(np.float64).reshape(kv_heads, -1, 1)


def _last_position(batch: BatchArrays, token: int) -> int:
    return int(batch.positions[batch.sequences == batch.sequences[token]].max())


class _Merged:
    """Softmax-weighted values over blocks in order (Dao et al. 2022, section 3.1)."""

    def __init__(self) -> None:
        self.highest = np.float64(-np.inf)  # then [G, H/G, 1], as is total
        self.total = np.float64(0.0)
        self.weighted = np.float64(0.0)  # then [G, H/G, E]

    def add(self, scores: np.ndarray, values: np.ndarray) -> None:
        """Takes in a block: scores [G, H/G, n], values [G, n, E]."""
        highest = np.maximum(self.highest, scores.max(axis=2, keepdims=True))
        keep = np.exp(self.highest - highest)
        parts = np.exp(scores - highest)
        self.total = self.total * keep + parts.sum(axis=2, keepdims=True)
        self.weighted = self.weighted * keep + parts @ values.astype(np.float64)
        self.highest = highest

    def sink(self, score: np.ndarray) -> None:
        """One more score [G, H/G, 1], whose value is 0."""
        highest = np.maximum(self.highest, score)
        keep = np.exp(self.highest - highest)
        self.total = self.total * keep + np.exp(score - highest)
        self.weighted = self.weighted * keep

    def result(self) -> np.ndarray:
        """float32 [G, H/G, E]."""
        return np.asarray(self.weighted / self.total, np.float32)
