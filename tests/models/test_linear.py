"""The seam for learning: deltas change what a weight computes and leave no trace when detached."""

from typing import Any

import numpy as np
import pytest
from random_models import random_model

from homezoo.errors import OptionError
from homezoo.formats.block_types import BlockType
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.linear import Delta, Linear
from homezoo.models.load import load_model
from homezoo.ops.reference import compile_reference

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]


def delta_for(linear: Linear, name: str, rank: int = 3, seed: int = 0) -> Delta:
    random = np.random.default_rng(seed)
    a = random.standard_normal((rank, linear.weight.width), np.float32) / 8
    b = random.standard_normal((linear.weight.rows, rank), np.float32) / 8
    return Delta(a, b, 0.5, name)


def logits(model: Any, exact: bool = True) -> np.ndarray:
    cache = KVCache.for_model(model.config, 64)
    batch = build_batch([(Sequence(cache), TOKENS)], every_row=True)
    return compile_reference(model, cache, exact)(batch)


@pytest.mark.parametrize("exact", [True, False])
def test_detaching_gives_the_base_bit_for_bit(exact: bool) -> None:
    model = load_model(random_model(type=BlockType.Q8_0, biases=("attn_q",)))
    base = logits(model, exact)
    for name in ("one", "two"):
        for linear in model.linears().values():
            linear.attach(delta_for(linear, name))
    assert np.abs(logits(model, exact) - base).max() > 0.01
    for name in ("one", "two"):
        for linear in model.linears().values():
            assert linear.detach(name).name == name
    np.testing.assert_array_equal(logits(model, exact), base)


@pytest.mark.parametrize("part", ["blk.0.attn_q", "blk.1.ffn_down", "blk.0.attn_output", "output"])
def test_delta_equals_a_changed_weight(part: str) -> None:
    file = random_model()
    model = load_model(file)
    linear = model.linears()[part]
    delta = delta_for(linear, "lesson")
    changed = random_model()
    values = changed.tensors[f"{part}.weight"].data.view(np.float32)
    values += 0.5 * (delta.b @ delta.a)
    linear.attach(delta)
    np.testing.assert_allclose(logits(model), logits(load_model(changed)), atol=1e-3)


def test_tied_output_can_learn_without_the_embedding() -> None:
    model = load_model(random_model(tied=True))
    base = logits(model)
    model.output.attach(delta_for(model.output, "lesson"))
    assert np.abs(logits(model) - base).max() > 0.01


def test_wrong_shape_is_refused() -> None:
    linear = load_model(random_model()).linears()["blk.0.ffn_up"]
    other = load_model(random_model()).linears()["blk.0.ffn_down"]
    with pytest.raises(OptionError, match=r"\(64, 96\); blk.0.ffn_up.weight is \(96, 64\)"):
        linear.attach(delta_for(other, "lesson"))
    assert linear.deltas == []


def test_names_are_unique_and_known() -> None:
    linear = load_model(random_model()).linears()["blk.0.ffn_up"]
    linear.attach(delta_for(linear, "lesson"))
    with pytest.raises(OptionError, match="already has a delta named 'lesson'"):
        linear.attach(delta_for(linear, "lesson"))
    with pytest.raises(OptionError, match=r"no delta named 'other'; attached: \['lesson'\]"):
        linear.detach("other")


@pytest.mark.parametrize(
    ("a", "b", "scale"),
    [
        (np.zeros((2, 4)), np.zeros((4, 2), np.float32), 1.0),
        (np.zeros(4, np.float32), np.zeros((4, 2), np.float32), 1.0),
        (np.zeros((2, 4), np.float32), np.zeros((4, 3), np.float32), 1.0),
        (np.zeros((0, 4), np.float32), np.zeros((4, 0), np.float32), 1.0),
        (np.zeros((2, 4), np.float32), np.zeros((4, 2), np.float32), float("nan")),
    ],
)
def test_malformed_delta_is_refused(a: np.ndarray, b: np.ndarray, scale: float) -> None:
    with pytest.raises(OptionError, match="delta 'lesson'"):
        Delta(a, b, scale, "lesson")
