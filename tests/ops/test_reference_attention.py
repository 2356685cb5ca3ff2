"""Attention over cache blocks against a plain softmax with a mask, and the bytes of the cache."""

import numpy as np
import pytest

from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.ops.reference import ReferenceOps
from homezoo.ops.reference_attention import decode_rows, encode_rows

HEADS, KV_HEADS, WIDTH = 4, 2, 32


def brute_force(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, window: int | None
) -> np.ndarray:
    """q [T, H, E], k and v [T, G, E]: all scores at once under a mask, float64 [T, H, E]."""
    tokens = len(q)
    ages = np.arange(tokens)[:, None] - np.arange(tokens)  # [T, T]
    seen = (ages >= 0) & (ages < (window or tokens))
    out = np.empty(q.shape)
    for head in range(HEADS):
        group = head // (HEADS // KV_HEADS)
        scores = np.where(seen, scale * q[:, head] @ k[:, group].T, -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, head] = weights / weights.sum(axis=1, keepdims=True) @ v[:, group]
    return out


@pytest.mark.parametrize("type", ["f16", "q8_0"])
@pytest.mark.parametrize("window", [None, 1, 7, 64, 65, 100])
def test_blocks_merge_to_the_plain_softmax(type: str, window: int | None) -> None:
    random = np.random.default_rng(0)
    q, k, v = (
        random.standard_normal((150, heads, WIDTH), np.float32)
        for heads in (HEADS, KV_HEADS, KV_HEADS)
    )
    k[100] *= 8  # a late, high score: earlier blocks must be scaled down
    cache = KVCache(1, KV_HEADS, WIDTH, 256, type)  # type: ignore[arg-type]
    cache.take()  # so that block numbers and pages differ
    batch = build_batch([(Sequence(cache), [0] * 150)])
    flat = (array.reshape(150, -1) for array in (q, k, v))
    found = ReferenceOps(batch, cache, exact=True).attention(*flat, 0, 0.3, window)
    k, v = (decode_rows(encode_rows(array, type), type) for array in (k, v))
    expected = brute_force(q.astype(np.float64), k, v, 0.3, window)
    np.testing.assert_allclose(found, expected.reshape(150, -1), rtol=1e-5, atol=1e-6)


def test_f16_rows_round_to_even() -> None:
    values = np.array([[1.0, -2.0, 1 + 2.0**-11, 1 + 3 * 2.0**-11]], np.float32)
    rows = encode_rows(values, "f16")
    assert rows.tobytes().hex() == "003c" + "00c0" + "003c" + "023c"
    assert decode_rows(rows, "f16").tolist() == [[1, -2, 1, 1 + 2.0**-9]]


def test_q8_0_rows_by_hand() -> None:
    values = np.zeros((1, 64), np.float32)
    values[0, :4] = [254, -254, 3, 5]  # a scale of 2: codes 127, -127, and ties 1.5 and 2.5 to even
    rows = encode_rows(values, "q8_0")
    assert rows.shape == (1, 68)
    assert rows[0, :6].tobytes().hex() == "0040" + "7f" + "81" + "02" + "02"
    assert not rows[0, 6:].any()
    assert decode_rows(rows, "q8_0")[0, :4].tolist() == [254, -254, 4, 4]


def test_q8_0_codes_come_from_the_scale_before_it_is_rounded() -> None:
    values = np.full((1, 32), 1.0, np.float32)
    values[0, 1] = 0.3
    rows = encode_rows(values, "q8_0")
    assert rows[0, 2:4].tolist() == [127, 38]  # 0.3 · 127 = 38.1
    scale = float(np.float16(np.float32(1) / np.float32(127)))
    assert decode_rows(rows, "q8_0")[0, 0] == np.float32(127 * scale)
