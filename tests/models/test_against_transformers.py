"""Random tiny models of every supported kind give the logits of Hugging Face's `transformers`."""

import json
from typing import Any

import numpy as np
import pytest
from transformers_cases import CASES, KEPT, RECORDED, TOKENS, hf_logits, random_file

from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import load_model
from homezoo.models.rope import RopeConfig
from homezoo.ops.reference import compile_reference

NO_TORCH = "torch is not installed; without it only transformers' recorded results are compared"
# Sums in float32 and float64 round a few cached values differently: up to 5e-4 was found.
TOLERANCE = 1e-3


def reference_logits(name: str) -> np.ndarray:
    """What the reference backend computes for TOKENS: float32 [T, V]."""
    model = load_model(random_file(name))
    cache = KVCache.for_model(model.config, 128)
    batch = build_batch([(Sequence(cache), TOKENS)], every_row=True)
    return compile_reference(model, cache, exact=True)(batch)


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_those_recorded_from_transformers(name: str) -> None:
    expected = np.array(json.loads(RECORDED.read_text())[name])
    assert expected.shape == (10, 20) and np.abs(expected).max() > 1
    np.testing.assert_allclose(reference_logits(name)[KEPT], expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_transformers(name: str) -> None:
    pytest.importorskip("torch", reason=NO_TORCH)
    expected, found = hf_logits(name), reference_logits(name)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


def test_cases_differ_from_each_other() -> None:
    """A setting that had no effect would pass unseen."""
    recorded = {name: np.array(values) for name, values in json.loads(RECORDED.read_text()).items()}
    assert set(recorded) == set(CASES)
    for pair in (
        ("llama_grouped_heads", "llama_linear"),
        ("llama_grouped_heads", "llama_yarn"),
        ("llama_linear", "llama_yarn"),
        ("llama_grouped_heads", "mistral_window"),
    ):
        assert np.abs(recorded[pair[0]] - recorded[pair[1]]).max() > 20 * TOLERANCE


def rope_init(config: Any) -> tuple[np.ndarray, float]:
    """transformers' own frequencies and magnitude for a configuration."""
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    name = config.rope_parameters["rope_type"]
    frequencies, magnitude = ROPE_INIT_FUNCTIONS[name](config, torch.device("cpu"))
    return frequencies.double().numpy(), magnitude


@pytest.mark.parametrize(
    ("theta", "original", "factor", "fast", "slow"),
    [
        (10000.0, 4096, 16.0, 32.0, 1.0),
        (1e6, 32768, 4.0, 32.0, 1.0),
        (500000.0, 8192, 8.0, 16.0, 2.0),
    ],
)
def test_yarn_equals_transformers(
    theta: float, original: int, factor: float, fast: float, slow: float
) -> None:
    pytest.importorskip("torch", reason=NO_TORCH)
    import transformers

    config = transformers.LlamaConfig(
        hidden_size=256,
        num_attention_heads=2,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": theta,
            "factor": factor,
            "original_max_position_embeddings": original,
            "beta_fast": fast,
            "beta_slow": slow,
        },
    )
    expected, magnitude = rope_init(config)
    rope = RopeConfig(
        dimensions=128,
        base=theta,
        scaling="yarn",
        factor=factor,
        original_context=original,
        beta_fast=fast,
        beta_slow=slow,
    )
    np.testing.assert_allclose(rope.frequencies(), expected, rtol=2e-6)  # theirs are float32
    assert rope.magnitude() == pytest.approx(magnitude, rel=1e-12)
