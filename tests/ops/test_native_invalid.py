"""NaN and infinity in weights or activations reach the logits; no kernel hides them."""

import numpy as np
import pytest
from native_programs import SECTIONS, NativeModel, compute
from random_models import random_model, tensor_of

from homezoo.formats.block_types import BlockType
from homezoo.formats.tensor import Tensor
from homezoo.models.cache import KVCache
from homezoo.models.load import load_model

INVALID = [np.nan, np.inf, -np.inf]
TOKENS = [5, 6, 7]


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("type", BlockType, ids=lambda type: type.name)
def test_one_invalid_activation_spoils_its_token_and_no_other(
    type: BlockType, kernels: str
) -> None:
    random = np.random.default_rng(0)
    weight = tensor_of("w", random.standard_normal((5, 512), np.float32), type)
    x = random.standard_normal((20, 512), np.float32)
    good = compute(lambda ops, v: ops.matmul(v, weight), x, kernels=kernels)
    for value in INVALID:
        for place in (0, 3, 200, 511):  # any lane of any block
            bad = x.copy()
            bad[2, place] = value
            found = compute(lambda ops, v: ops.matmul(v, weight), bad, kernels=kernels)
            assert not np.isfinite(found[2]).any()
            np.testing.assert_array_equal(np.delete(found, 2, 0), np.delete(good, 2, 0))
            alone = compute(lambda ops, v: ops.matmul(v, weight), bad[2:3], kernels=kernels)
            assert not np.isfinite(alone).any()


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("cache", ["f16", "q8_0"])
@pytest.mark.parametrize("operand", [0, 1, 2], ids=["query", "key", "value"])
def test_attention_passes_it_to_the_tokens_that_see_it(
    operand: int, cache: str, kernels: str
) -> None:
    """Two heads over one key-value head; one number of position 70 of 80 is NaN."""
    random = np.random.default_rng(0)
    inputs = [random.standard_normal((80, width), np.float32) for width in (64, 32, 32)]
    inputs[operand][70, 9] = np.nan
    found = compute(
        lambda ops, q, k, v: ops.attention(q, k, v, 0, 0.2),
        *inputs,
        kernels=kernels,
        cache=KVCache(1, 1, 32, 128, cache),  # type: ignore[arg-type]
    )
    spoilt = np.isnan(found).reshape(80, 2, 32)
    expected = np.zeros_like(spoilt)
    if operand == 0:
        expected[70, 0] = True  # the query's own head
    elif operand == 1:
        expected[70:] = True
    else:
        expected[70:, :, slice(None) if cache == "q8_0" else 9] = (
            True  # a q8_0 block shares a scale
        )
    np.testing.assert_array_equal(spoilt, expected)


@pytest.mark.parametrize("kernels", SECTIONS)
@pytest.mark.parametrize("type", [BlockType.F32, BlockType.Q4_0, BlockType.Q8_0])
@pytest.mark.parametrize("name", ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up",
                                  "ffn_down"])  # fmt: skip
def test_one_invalid_weight_shows_in_the_logits(name: str, type: BlockType, kernels: str) -> None:
    """A single block scale (or float) that is NaN, as a damaged file may have it."""
    model = random_model(layers=2, type=type)
    full = f"blk.0.{name}.weight"
    weight = model.tensors[full]
    data = weight.data.copy()
    nan = np.float32([np.nan]) if type is BlockType.F32 else np.float16([np.nan])
    data[1, : nan.nbytes] = nan.view(np.uint8)
    model.tensors[full] = Tensor(full, type, weight.shape, data)
    logits = NativeModel(load_model(model), kernels).whole(TOKENS)
    # a NaN in a key or query shows wherever a softmax has something to weigh: from the start
    assert np.isnan(logits).all()


@pytest.mark.parametrize("operation", ["silu_mul", "gelu", "rms_norm", "layer_norm", "rope"])
def test_elementwise_operations_pass_it_on(operation: str) -> None:
    norm = tensor_of("norm", np.ones(64))
    build = {
        "silu_mul": lambda ops, x: ops.silu_mul(x, x),
        "gelu": lambda ops, x: ops.gelu(x),
        "rms_norm": lambda ops, x: ops.rms_norm(x, norm, 1e-5),
        "layer_norm": lambda ops, x: ops.layer_norm(x, norm, None, 1e-5),
        "rope": lambda ops, x: ops.rope(x, np.ones(4), 8, True),
    }[operation]
    x = np.random.default_rng(1).standard_normal((4, 64), np.float32)
    for value in INVALID:
        x[2, 5] = value
        for kernels in SECTIONS:
            found = compute(build, x, kernels=kernels)
            assert not np.isfinite(found[2, 5])
            assert np.isfinite(np.delete(found, 2, 0)).all()
