"""Mixtures of experts: the native operations against the reference, and batches without effect."""

from typing import Any

import numpy as np
import pytest
from native_programs import SECTIONS, compute
from random_models import tensor_of

from homezoo.formats.block_types import BlockType
from homezoo.formats.tensor import Tensor
from homezoo.ops.reference import ReferenceOps

EXPERTS, SLOTS, ROWS, WIDTH = 6, 2, 70, 256  # rows: one tile and some left over
RANDOM = np.random.default_rng(0)


def draw(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape, np.float32)


def reference() -> Any:
    return ReferenceOps(None, None, exact=False)  # type: ignore[arg-type]


def weight_of(type: BlockType) -> Tensor:
    return tensor_of("exps", draw(EXPERTS, ROWS, WIDTH) / 16, type)


def test_route_takes_the_highest_and_softens_them() -> None:
    scores = np.float32([[0, 3, 1, 2, 2, -1], [5, 5, 5, 5, 5, 5]])
    found = compute(lambda ops, x: ops.route(x, 3), scores)
    np.testing.assert_array_equal(found[:, :3], [[1, 3, 4], [0, 1, 2]])
    expected = np.exp([3, 2, 2]) / np.exp([3, 2, 2]).sum()
    np.testing.assert_allclose(found[:, 3:], [expected, [1 / 3] * 3], rtol=1e-6)
    np.testing.assert_allclose(reference().route(scores, 3), found, rtol=1e-6)


@pytest.mark.parametrize("own", [False, True], ids=["same input", "own input"])
@pytest.mark.parametrize("tokens", [1, 3, 40, 200])
@pytest.mark.parametrize("type", [BlockType.F32, BlockType.Q4_0, BlockType.Q4_K, BlockType.MXFP4])
def test_expert_matmul(type: BlockType, tokens: int, own: bool) -> None:
    weight, scores = weight_of(type), draw(tokens, EXPERTS)
    x = draw(tokens, WIDTH * (SLOTS if own else 1))

    def build(ops: Any, x: Any, scores: Any) -> Any:
        return ops.expert_matmul(x, ops.route(scores, SLOTS), weight)

    expected = build(reference(), x, scores)
    for kernels in SECTIONS:
        found = compute(build, x, scores, kernels=kernels, threads=2)
        np.testing.assert_array_equal(found, expected)  # the canonical sum, to the bit


def test_expert_matmul_reads_only_the_experts_chosen() -> None:
    weight = weight_of(BlockType.F32)
    values = weight.data.view(np.float32).reshape(EXPERTS, ROWS, WIDTH).copy()
    values[[0, 1, 4]] = np.nan
    poisoned = tensor_of("exps", values)
    for tokens in (1, 30):
        scores = np.tile(np.float32([0, 1, 5, 7, 2, 6]), (tokens, 1))
        x = draw(tokens, WIDTH)
        found = compute(
            lambda ops, x, s: ops.expert_matmul(x, ops.route(s, 3), poisoned), x, scores
        )
        assert np.isfinite(found).all()


@pytest.mark.parametrize("type", [BlockType.F32, BlockType.Q5_0, BlockType.Q6_K])
def test_a_tokens_experts_do_not_depend_on_its_batch(type: BlockType) -> None:
    weight = weight_of(type)
    bias, x, scores = tensor_of("bias", draw(EXPERTS, ROWS)), draw(60, WIDTH), draw(60, EXPERTS)

    def build(ops: Any, x: Any, scores: Any) -> Any:
        routing = ops.route(scores, SLOTS)
        biased = ops.expert_bias(ops.expert_matmul(x, routing, weight), routing, bias)
        return ops.add(ops.expert_sum(biased, routing), ops.columns(x, 0, ROWS))

    together = compute(build, x, scores, threads=2)
    for token in (0, 17, 59):
        alone = compute(build, x[token : token + 1], scores[token : token + 1])
        np.testing.assert_array_equal(alone[0], together[token])
    np.testing.assert_allclose(together, build(reference(), x, scores), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda p, x: p.route(x, 9), "9 of 8 experts"),
        (lambda p, x: p.expert_sum(x, p.route(x, 3)), "rows of 8 for 3 slots"),
        (
            lambda p, x: p.expert_matmul(x, p.route(x, 2), np.zeros((6, 20), np.uint8), 0, 5, 3),
            "activations of 8 values",
        ),
        (
            lambda p, x: p.expert_matmul(x, p.route(x, 2), np.zeros((6, 32), np.uint8), 0, 8, 4),
            "6 rows for 4 experts",
        ),
        (
            lambda p, x: p.expert_bias(x, p.route(x, 2), np.zeros(9, np.float32), 2),
            "bias of 9 values",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(build: Any, message: str) -> None:
    from homezoo import _native

    program = _native.Program(_native.Threads(1))
    x = program.embed(np.zeros((4, 32), np.uint8), 0, 8)
    with pytest.raises(ValueError, match=message):
        build(program, x)
