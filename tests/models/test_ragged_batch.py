"""A token's logits depend on its own sequence alone, bit for bit, however the work is batched."""

from typing import Any

import numpy as np
import pytest
from random_models import random_model

from homezoo.formats.block_types import BlockType
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.ops.reference import compile_reference

LENGTH = 150  # three cache blocks, the last one partial
TOKENS = np.random.default_rng(7).integers(0, 100, LENGTH).tolist()
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "window": {"keys": {"attention.sliding_window": 70}},
    "qwen2": {"architecture": "qwen2", "biases": ("attn_q", "attn_k", "attn_v")},
    "qwen3": {"architecture": "qwen3", "head_width": 32},
    "q4_0": {"type": BlockType.Q4_0},
    "q4_k": {"type": BlockType.Q4_K, "width": 256, "feed_forward": 256, "head_width": 64},
}


class Bench:
    """A random model, its cache, and its compiled reference."""

    def __init__(self, name: str, exact: bool, cache_type: Any = "f16") -> None:
        self.model = load_model(random_model(layers=1, vocab=100, **MODELS[name]))
        self.cache = KVCache.for_model(self.model.config, 1024, cache_type)
        self.run = compile_reference(self.model, self.cache, exact)

    def compute(self, *parts: tuple[Sequence, list[int]]) -> np.ndarray:
        """Logits of every token of the parts, in their order."""
        return self.run(build_batch(list(parts), every_row=True))

    def whole(self, tokens: list[int]) -> np.ndarray:
        """Logits [T, V] of one fresh sequence computed at once."""
        return self.compute((Sequence(self.cache), tokens))


CASES = [(name, True) for name in MODELS] + [("q4_0", False), ("q4_k", False), ("llama", False)]


@pytest.mark.parametrize(("name", "exact"), CASES)
def test_prefill_equals_token_by_token(name: str, exact: bool) -> None:
    bench = Bench(name, exact)
    sequence = Sequence(bench.cache)
    tokens = TOKENS if exact else TOKENS[:70]
    steps = [bench.compute((sequence, [token])) for token in tokens]
    np.testing.assert_array_equal(np.concatenate(steps), bench.whole(tokens))


@pytest.mark.parametrize(("name", "exact"), CASES)
def test_sequences_together_equal_each_alone(name: str, exact: bool) -> None:
    bench = Bench(name, exact)
    first, second, third = (Sequence(bench.cache) for _ in range(3))
    texts = [TOKENS[:40], TOKENS[40:47], TOKENS[3:68]]
    bench.compute((first, texts[0][:30]), (third, texts[2][:64]))
    mixed = bench.compute((second, texts[1]), (first, texts[0][30:]), (third, texts[2][64:]))
    alone = [bench.whole(text) for text in texts]
    np.testing.assert_array_equal(mixed[:7], alone[1])
    np.testing.assert_array_equal(mixed[7:17], alone[0][30:])
    np.testing.assert_array_equal(mixed[17:], alone[2][64:])


def test_q8_0_cache_is_as_invariant() -> None:
    bench = Bench("qwen3", exact=True, cache_type="q8_0")
    sequence = Sequence(bench.cache)
    parts = [bench.compute((sequence, TOKENS[a:b])) for a, b in ((0, 1), (1, 65), (65, 150))]
    np.testing.assert_array_equal(np.concatenate(parts), bench.whole(TOKENS))


def test_q8_0_cache_is_close_to_f16() -> None:
    half = Bench("qwen3", exact=True).whole(TOKENS)
    small = Bench("qwen3", exact=True, cache_type="q8_0").whole(TOKENS)
    assert 0 < np.abs(half - small).max() < 0.05  # logits of size 4


@pytest.mark.parametrize("shared", [64, 100, 128, 1])
def test_forks_of_a_prefix_equal_fresh_sequences(shared: int) -> None:
    bench = Bench("llama", exact=True)
    first = Sequence(bench.cache)
    bench.compute((first, TOKENS[:shared]))
    second = first.fork()
    ends = TOKENS[shared : shared + 20], TOKENS[:20]
    both = bench.compute((first, ends[0]), (second, ends[1]))
    for found, end in zip((both[:20], both[20:]), ends, strict=True):
        np.testing.assert_array_equal(found, bench.whole(TOKENS[:shared] + end)[shared:])


@pytest.mark.parametrize("length", [0, 10, 64, 99])
def test_undone_tokens_leave_no_trace(length: int) -> None:
    bench = Bench("llama", exact=True)
    sequence = Sequence(bench.cache)
    bench.compute((sequence, TOKENS[:100]))
    twin = sequence.fork()
    sequence.truncate(length)
    again = bench.compute((sequence, TOKENS[50:60]))
    np.testing.assert_array_equal(again, bench.whole(TOKENS[:length] + TOKENS[50:60])[length:])
    untouched = bench.compute((twin, TOKENS[100:]))
    np.testing.assert_array_equal(untouched, bench.whole(TOKENS)[100:])


def test_reused_blocks_leave_no_trace() -> None:
    bench = Bench("llama", exact=True)
    fresh = bench.whole(TOKENS[:70])
    other = Sequence(bench.cache)
    bench.compute((other, TOKENS[::-1]))
    other.release()
    np.testing.assert_array_equal(bench.whole(TOKENS[:70]), fresh)


def test_only_the_asked_rows_come_back() -> None:
    bench = Bench("llama", exact=True)
    sequences = [Sequence(bench.cache) for _ in range(2)]
    batch = build_batch([(sequences[0], TOKENS[:5]), (sequences[1], TOKENS[5:8])])
    found = bench.run(batch)
    assert found.shape == (2, 100) and found.dtype == np.float32
    np.testing.assert_array_equal(found[0], bench.whole(TOKENS[:5])[-1])
    np.testing.assert_array_equal(found[1], bench.whole(TOKENS[5:8])[-1])


def test_window_forgets_and_full_attention_does_not() -> None:
    changed = [99 - TOKENS[0], *TOKENS[1:]]
    full, window = Bench("llama", exact=True), Bench("window", exact=True)
    # one layer with a window of 70: position 0 is seen up to position 69
    same = (window.whole(TOKENS) == window.whole(changed)).all(axis=1)
    assert not same[:70].any() and same[70:].all()
    assert not (full.whole(TOKENS) == full.whole(changed)).all(axis=1).any()


@pytest.mark.parametrize("name", ["q4_0", "q4_k"])
def test_rounding_of_activations_is_small(name: str) -> None:
    exact, rounded = Bench(name, True).whole(TOKENS[:20]), Bench(name, False).whole(TOKENS[:20])
    error = np.sqrt(np.mean((exact - rounded) ** 2) / np.mean(exact**2))
    assert 0 < error < 0.02  # each rounding is within 1/254 of its block's maximum
