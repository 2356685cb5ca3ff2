"""Whole models on the native backend: the golden text, and the reference's logits."""

from pathlib import Path

import numpy as np
import pytest
from native_programs import SECTIONS, NativeModel
from random_models import random_model, tensor_of

from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import Model, load_model
from homezoo.ops.reference import compile_reference

# 200 tokens after BOS, greedy; llama2.c and llama.cpp both print it.
GOLDEN = """\
Once upon a time, there was a little girl named Lily. She loved to play outside in the park. \
One day, she saw a big, red ball. She wanted to play with it, but it was too high.
Lily's mom said, "Lily, let's go to the park." Lily was sad and didn't know what to do. \
She said, "I want to play with your ball, but I can't find it."
Lily was sad and didn't know what to do. She said, "I'm sorry, Lily. I didn't know what to do."
Lily didn't want to help her mom, so she"""


def greedy_text(model: Model, pieces: list[str], kernels: str, threads: int, count: int) -> str:
    """The text of `count` tokens after BOS (id 1). In pieces, ▁ is a space and <0x0A> a byte."""
    native = NativeModel(model, kernels, threads, positions=256)
    sequence, token, answer = Sequence(native.cache), 1, []
    for _ in range(count):
        token = int(native.compute((sequence, [token]))[0].argmax())
        answer.append(pieces[token])
    return "".join(answer).replace("▁", " ").replace("<0x0A>", "\n").removeprefix(" ")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kernels", SECTIONS)
def test_golden_text(stories_path: Path, kernels: str, threads: int) -> None:
    with GGUFFile.open(stories_path) as file:
        pieces = file.metadata["tokenizer.ggml.tokens"]
        assert greedy_text(load_model(file), pieces, kernels, threads, 200) == GOLDEN


class Quantised:
    """A file whose matrices are of another type; rows that blocks do not fill stay."""

    def __init__(self, file: GGUFFile, type: BlockType) -> None:
        self.metadata = file.metadata
        self.tensors = dict(file.tensors)
        self.kept: list[str] = []
        for name, tensor in file.tensors.items():
            if len(tensor.shape) == 2 and tensor.width % type.block_size == 0:
                values = dequantize(tensor.type, tensor.data)
                self.tensors[name] = tensor_of(name, values, type)
            elif len(tensor.shape) == 2:
                self.kept.append(name)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kernels", SECTIONS)
def test_quantised_to_q8_0_the_story_begins_the_same(
    stories_path: Path, kernels: str, threads: int
) -> None:
    with GGUFFile.open(stories_path) as file:
        quantised = Quantised(file, BlockType.Q8_0)
        assert quantised.kept == [f"blk.{layer}.ffn_down.weight" for layer in range(5)]  # 172 wide
        pieces = file.metadata["tokenizer.ggml.tokens"]
        model = load_model(quantised)
        text = greedy_text(model, pieces, kernels, threads, 60)
    assert text.startswith(GOLDEN[: GOLDEN.index("One day")])  # two sentences


TOKENS = np.random.default_rng(3).integers(0, 100, 66).tolist()

# Differences of a token's logits, root mean square relative to that of all logits. Products repeat
# the reference's bits; norms, angles and softmax differ in their last places, which is SAME. Now
# and then that moves a key, a value or an activation to the next half or int8 step; such a token
# differs by some of what all the rounding to int8 costs, at most ROUNDING.
SAME, ROUNDING = 5e-6, 0.025
SIZES = {"layers": 1, "width": 256, "feed_forward": 256, "heads": 8, "kv_heads": 2}


def relative(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Each token's difference: [T]."""
    return np.sqrt(np.mean((found - expected) ** 2, axis=1) / np.mean(expected**2))


@pytest.mark.parametrize(("architecture", "cache"), [("llama", "f16"), ("qwen3", "q8_0")])
@pytest.mark.parametrize("type", BlockType, ids=lambda type: type.name)
def test_logits_of_random_models_are_the_reference_s(
    type: BlockType, architecture: str, cache: str
) -> None:
    model = load_model(random_model(architecture, type=type, head_width=32, **SIZES))
    medians = []
    # A step of an early token is seen by all later ones: one text of three without it is enough.
    for seed in (3, 4, 5):
        tokens = np.random.default_rng(seed).integers(0, 100, 66).tolist()
        found = NativeModel(model, cache_type=cache).whole(tokens)
        for exact in (False, True):
            kv = KVCache.for_model(model.config, 128, cache)  # type: ignore[arg-type]
            batch = build_batch([(Sequence(kv), tokens)], every_row=True)
            difference = relative(found, compile_reference(model, kv, exact)(batch))
            assert difference.max() < ROUNDING
            if not exact:
                medians.append(np.median(difference))
        if medians[-1] < SAME:
            break
    assert min(medians) < SAME
