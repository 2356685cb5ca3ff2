"""Native logits are the same bits in any section, batch, chunk, prefix and threads."""

from typing import Any

import numpy as np
import pytest
from native_programs import SECTIONS, NativeModel
from random_models import random_model

from homezoo.formats.block_types import BlockType
from homezoo.models.cache import Sequence
from homezoo.models.load import Model, load_model

LENGTH = 81  # two cache blocks, the second one partial; tiles of tokens with some left over
TOKENS = np.random.default_rng(7).integers(0, 100, LENGTH).tolist()
OTHER = TOKENS[::-1][:37]
CHUNKS = (1, 2, 3, 5, 16, 40, 14)  # few tokens and many, a chunk that crosses into the next block


def model_of(type: BlockType, **more: Any) -> Model:
    """Grouped heads, and widths that all block sizes divide; rows no multiple of a tile."""
    sizes = {"layers": 1, "width": 256, "feed_forward": 256, "heads": 8, "kv_heads": 2}
    return load_model(random_model(**sizes | {"head_width": 32, "type": type} | more))


def computed_in_every_way(model: Model, expected: np.ndarray, kernels: str, cache: Any) -> None:
    """Holds each way to compute TOKENS with these kernels to `expected` [LENGTH, V]."""
    one = NativeModel(model, kernels, 1, cache)
    np.testing.assert_array_equal(one.whole(TOKENS), expected)
    np.testing.assert_array_equal(one.whole(TOKENS), expected)  # again, in blocks used before
    sequence = Sequence(one.cache)
    for place, token in enumerate(TOKENS):
        found = one.compute((sequence, [token]))
        np.testing.assert_array_equal(found[0], expected[place])

    two = NativeModel(model, kernels, 2, cache)
    first, second = Sequence(two.cache), Sequence(two.cache)
    start = 0
    for size in CHUNKS:  # beside another sequence, which comes first every second time
        parts = [(second, OTHER[:5]), (first, TOKENS[start : start + size])]
        found = two.compute(*(parts if size % 2 else parts[::-1]))
        found = found[5:] if size % 2 else found[:size]
        np.testing.assert_array_equal(found, expected[start : start + size])
        start += size
    assert start == LENGTH

    three = NativeModel(model, kernels, 3, cache)
    trunk = Sequence(three.cache)
    np.testing.assert_array_equal(three.compute((trunk, TOKENS[:70])), expected[:70])
    branch, other = trunk.fork(), trunk.fork(33)
    found = three.compute((other, OTHER), (trunk, TOKENS[70:]), (branch, TOKENS[70:]))
    np.testing.assert_array_equal(found[37:48], expected[70:])
    np.testing.assert_array_equal(found[48:], expected[70:])
    found = three.compute((third := trunk.fork(20), TOKENS[20:]))
    np.testing.assert_array_equal(found, expected[20:])
    third.release()


@pytest.mark.parametrize("cache", ["f16", "q8_0"])
@pytest.mark.parametrize("type", BlockType, ids=lambda type: type.name)
def test_every_format_and_cache_in_every_section(type: BlockType, cache: str) -> None:
    model = model_of(type)
    expected = NativeModel(model, "plain", 1, cache).whole(TOKENS)
    assert np.isfinite(expected).all() and len(np.unique(expected)) > expected.size / 2
    for kernels in SECTIONS:
        computed_in_every_way(model, expected, kernels, cache)


VARIANTS: dict[str, dict[str, Any]] = {
    "window": {"keys": {"attention.sliding_window": 20}},
    "every head its own keys": {"kv_heads": 8},
    "one key head": {"kv_heads": 1},
    "biases": {"architecture": "qwen2", "biases": ("attn_q", "attn_k", "attn_v")},
    "norms of heads": {"architecture": "qwen3"},
    "tied output": {"tied": True},
    "odd rows": {"vocab": 101, "feed_forward": 96 + 32 * 5},
    "two layers": {"layers": 2},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_model_in_every_section(name: str) -> None:
    model = model_of(BlockType.Q4_0, **VARIANTS[name])
    expected = NativeModel(model, "plain", 1).whole(TOKENS)
    for kernels in SECTIONS:
        computed_in_every_way(model, expected, kernels, "f16")


@pytest.mark.parametrize("kernels", SECTIONS)
def test_a_large_mixed_batch_equals_each_alone(kernels: str) -> None:
    """Twenty sequences of 1 to 40 new tokens, some begun before, in one call."""
    model = NativeModel(model_of(BlockType.Q4_K), kernels, 2, positions=4096)
    random = np.random.default_rng(1)
    texts = [random.integers(0, 100, n).tolist() for n in random.integers(2, 41, 20)]
    sequences = [Sequence(model.cache) for _ in texts]
    begun = [len(text) // 2 if i % 2 else 0 for i, text in enumerate(texts)]
    model.compute(*((s, t[:n]) for s, t, n in zip(sequences, texts, begun, strict=True) if n))
    rest = [text[n:] for text, n in zip(texts, begun, strict=True)]
    together = model.compute(*zip(sequences, rest, strict=True))
    start = 0
    for text, n in zip(texts, begun, strict=True):
        found = together[start : start + len(text) - n]
        np.testing.assert_array_equal(found, model.whole(text)[n:])
        start += len(found)


def test_two_models_of_the_same_weights_agree_and_another_does_not() -> None:
    """Guards the tests above: equal bits mean something only where different weights differ."""
    first, again = (NativeModel(model_of(BlockType.Q4_0)).whole(TOKENS) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not (first == NativeModel(model_of(BlockType.Q4_1)).whole(TOKENS)).all(axis=1).any()
