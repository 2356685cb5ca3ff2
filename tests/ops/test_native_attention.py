"""Native attention against the reference: windows, grouped heads, both caches, far back."""

import numpy as np
import pytest
from native_programs import SECTIONS, as_table
from ops.heads import Heads

from homezoo import _native
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.ops.native import NativeOps
from homezoo.ops.reference_attention import encode_rows

# Scores are sums of `width` float32 products of size 1 to 10, so e^score is good to about 1e-6.
BOUND = 2e-5


@pytest.mark.parametrize("type", ["f16", "q8_0"])
@pytest.mark.parametrize("window", [None, 1, 7, 64, 65, 100])
def test_close_to_the_reference_with_and_without_a_window(type: str, window: int | None) -> None:
    drawn = Heads(200)
    found, _ = drawn.native(type, window)
    np.testing.assert_allclose(found, drawn.reference(type, window), rtol=0, atol=BOUND)


@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (8, 8), (8, 1), (6, 2)])
@pytest.mark.parametrize("width", [8, 20, 64, 96, 128])
def test_heads_of_any_number_and_width(heads: int, kv_heads: int, width: int) -> None:
    drawn = Heads(70, heads, kv_heads, width)
    plain, _ = drawn.native("f16", None, "plain")
    np.testing.assert_allclose(plain, drawn.reference("f16", None), rtol=0, atol=BOUND)
    for kernels in SECTIONS:
        np.testing.assert_array_equal(drawn.native("f16", None, kernels)[0], plain)


@pytest.mark.parametrize("type", ["f16", "q8_0"])
@pytest.mark.parametrize("window", [None, 70])
def test_the_same_bits_from_every_section_chunk_and_thread(type: str, window: int | None) -> None:
    drawn = Heads(200)
    expected, cache = drawn.native(type, window, "plain")
    for kernels in SECTIONS:
        for threads, chunks in ((1, (1,) * 200), (2, (3, 64, 65, 1, 67)), (3, (199, 1))):
            found, other = drawn.native(type, window, kernels, threads, chunks)
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(other.k[0], cache.k[0])
            np.testing.assert_array_equal(other.v[0], cache.v[0])


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("type", ["f16", "q8_0"])
def test_cache_rows_hold_the_reference_s_bytes(type: str, kernels: str) -> None:
    drawn = Heads(64)
    scales = np.float32(10.0) ** np.arange(-12, 52, dtype=np.float32)[:, None].clip(-12, 4)
    drawn.k *= scales  # from below the smallest half to above 60,000
    drawn.k[5] = 0
    _, cache = drawn.native(type, None, kernels)
    for found, values in ((cache.k[0], drawn.k), (cache.v[0], drawn.v)):
        with np.errstate(over="ignore"):  # above 65,504 a half is infinite, here as there
            expected = encode_rows(values.reshape(64, 2, 32), type)  # [64, G, row bytes]
        np.testing.assert_array_equal(found[1].transpose(1, 0, 2), expected)


@pytest.mark.parametrize("type", ["f16", "q8_0"])
def test_long_contexts(type: str) -> None:
    """5,000 positions, 79 blocks: the last tokens against the reference, no drift."""
    drawn = Heads(5000, 4, 1, 64)
    rows = [0, 63, 64, 2500, 4095, 4096, 4998, 4999]
    found, _ = drawn.native(type, None, threads=2, chunks=(512,) * 9 + (391, 1))
    np.testing.assert_allclose(found[rows], drawn.reference(type, None, rows), rtol=0, atol=BOUND)


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    """A softmax whose scores reach ±1000 picks single positions; nothing becomes NaN."""
    drawn = Heads(130)
    drawn.q *= 100
    found, _ = drawn.native("f16", None)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, drawn.reference("f16", None), rtol=0, atol=2e-3)
    drawn.q[:] = 0  # equal scores: the mean of what is seen
    found, _ = drawn.native("f16", None)
    values = drawn.v.astype(np.float16).astype(np.float64).reshape(130, 2, 32)
    means = values.cumsum(axis=0) / np.arange(1, 131)[:, None, None]  # [T, G, E]
    np.testing.assert_allclose(found.reshape(130, 2, 2, 32)[:, :, 0], means, rtol=0, atol=1e-5)


def test_sequences_of_one_batch_see_their_own_tokens_alone() -> None:
    drawn = Heads(150)
    expected, _ = drawn.native("f16", None)
    cache = KVCache(1, 2, 32, 1024)
    program = _native.Program(_native.Threads(2))
    tables = (drawn.q, drawn.k, drawn.v)
    inputs = [program.embed(as_table(x), 0, x.shape[1]) for x in tables]
    program.finish(NativeOps(program, cache).attention(*inputs, 0, drawn.scale))
    sequences = [Sequence(cache) for _ in range(4)]
    parts = [(s, list(range(n))) for s, n in zip(sequences, (70, 1, 150, 17), strict=True)]
    b = build_batch(parts)
    found = program.run(b.tokens, b.positions, b.sequences, b.blocks, b.rows)
    wanted = np.concatenate([expected[:n] for n in (70, 1, 150, 17)])
    np.testing.assert_array_equal(found, wanted)
