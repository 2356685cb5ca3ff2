"""Frequencies and magnitudes of rotary positions under every scaling."""

import math
import re

import numpy as np
import pytest
from random_models import random_model, tensor_of

from homezoo.errors import GGUFError, UnsupportedError
from homezoo.models.config import ModelConfig
from homezoo.models.rope import RopeConfig


def yarn(**settings: float) -> RopeConfig:
    defaults = {"dimensions": 128, "factor": 4.0, "original_context": 4096} | settings
    return RopeConfig(scaling="yarn", **defaults)  # type: ignore[arg-type]


def test_plain_frequencies_are_powers_of_the_base() -> None:
    found = RopeConfig(dimensions=4, base=10000.0).frequencies()
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [1.0, 0.01], rtol=1e-15)


def test_linear_divides_all_frequencies() -> None:
    scaled = RopeConfig(dimensions=8, scaling="linear", factor=4.0)
    np.testing.assert_array_equal(scaled.frequencies() * 4, RopeConfig(dimensions=8).frequencies())
    assert scaled.magnitude() == 1.0


def test_factors_tensor_divides_each_frequency() -> None:
    divided = RopeConfig(dimensions=4, factors=(2.0, 8.0)).frequencies()
    np.testing.assert_allclose(divided, [0.5, 0.01 / 8], rtol=1e-15)


def test_yarn_keeps_fast_pairs_and_interpolates_slow_ones() -> None:
    plain, scaled = RopeConfig(dimensions=128).frequencies(), yarn().frequencies()
    # Pair i turns 4096 · 10000^(-i/64) / 2π times: 32 turns at pair 20.9, 1 turn at pair 45.03.
    np.testing.assert_array_equal(scaled[:21], plain[:21])
    np.testing.assert_array_equal(scaled[46:], plain[46:] / 4)
    middle = scaled[21:46] / plain[21:46]
    assert np.all(np.diff(middle) < 0) and middle.max() < 1 and middle.min() > 0.25
    kept = 1 - (33 - 20) / (46 - 20)  # the ramp runs from pair 20 to 46
    assert scaled[33] == pytest.approx(plain[33] * (kept + (1 - kept) / 4), rel=1e-12)


def test_yarn_magnitude() -> None:
    assert yarn().magnitude() == pytest.approx(0.1 * math.log(4) + 1)
    assert yarn(attention_factor=0.5).magnitude() == pytest.approx(0.05 * math.log(4) + 0.5)
    assert yarn(factor=1.0).magnitude() == 1.0
    assert yarn(log_multiplier=1.0).magnitude() == 1.0
    assert yarn(extrapolation=0.0).magnitude() == 1.0


def test_yarn_without_extrapolation_is_linear() -> None:
    linear = RopeConfig(dimensions=128, scaling="linear", factor=4.0)
    np.testing.assert_allclose(
        yarn(extrapolation=0.0).frequencies(), linear.frequencies(), rtol=1e-15
    )


def read(**keys: object) -> RopeConfig:
    named = {f"rope.{key.replace('__', '.')}": value for key, value in keys.items()}
    file = random_model(keys=named)
    return ModelConfig.from_metadata(file.metadata, file.tensors).rope


def test_keys_of_older_writers() -> None:
    assert read(scale_linear=8.0) == read(scaling__type="linear", scaling__factor=8.0)
    assert read(scaling__factor=0.0) == read()
    assert read(scaling__yarn_ext_factor=-1.0) == read()
    assert read(scaling__type="none", scaling__factor=8.0).frequencies()[0] == 1.0


def test_original_context_defaults_to_the_context() -> None:
    assert read(scaling__type="yarn", scaling__factor=4.0).original_context == 512


def test_ambiguous_yarn_magnitude_is_refused() -> None:
    yarn_keys = {"scaling__type": "yarn", "scaling__factor": 4.0}
    with pytest.raises(UnsupportedError, match="yarn_attn_factor is 0.7.*1.139"):
        read(**yarn_keys, scaling__yarn_attn_factor=0.7)
    for harmless in (1.0, 0.1 * math.log(4) + 1):
        assert read(**yarn_keys, scaling__yarn_attn_factor=harmless) == read(**yarn_keys)


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        (np.ones(7), "has 7 values; rope.dimension_count 16 needs 8"),
        (np.zeros(8), "has the value 0.0"),
        (np.full(8, np.nan), "has the value nan"),
    ],
)
def test_wrong_factors_tensor(factors: np.ndarray, words: str) -> None:
    file = random_model(rope_factors=factors)
    with pytest.raises(GGUFError, match=words):
        ModelConfig.from_metadata(file.metadata, file.tensors)


def test_factors_tensor_of_two_dimensions_is_an_error() -> None:
    file = random_model()
    file.tensors["rope_freqs.weight"] = tensor_of("rope_freqs.weight", np.ones((1, 8)))
    with pytest.raises(GGUFError, match=r"rope_freqs.weight is F32 of shape \(1, 8\)"):
        ModelConfig.from_metadata(file.metadata, file.tensors)


@pytest.mark.parametrize("scaling", ["none", "linear", "yarn"])
@pytest.mark.parametrize("value", [1e-12, 1e12, 1e-300, 1e300])
@pytest.mark.parametrize("key", ["freq_base", "scaling__factor", "scaling__yarn_beta_fast"])
def test_extreme_values_are_errors_or_give_finite_frequencies(
    scaling: str, key: str, value: float
) -> None:
    keys = {"scaling__type": scaling, "scaling__factor": 4.0} | {key: value}
    if 1e-12 <= value <= 1e12:
        assert np.isfinite(read(**keys).frequencies()).all()
    else:
        with pytest.raises(GGUFError, match=re.escape(f"{key.replace('__', '.')} is {value}")):
            read(**keys)
