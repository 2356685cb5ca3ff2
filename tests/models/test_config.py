"""A model's sizes come from the file; a wrong one is an error that names its key and value."""

from typing import Any

import numpy as np
import pytest
from random_models import random_model

from homezoo.errors import GGUFError, HomezooError, UnsupportedError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.config import ModelConfig
from homezoo.models.load import load_model


def config_with(architecture: str = "llama", **keys: Any) -> ModelConfig:
    """The configuration of a random model with some keys replaced (`__` for a dot)."""
    named = {key.replace("__", "."): value for key, value in keys.items()}
    file = random_model(architecture, keys=named)
    return ModelConfig.from_metadata(file.metadata, file.tensors)


def test_real_file(stories_path: Any) -> None:
    with GGUFFile.open(stories_path) as file:
        config = ModelConfig.from_metadata(file.metadata, file.tensors)
    assert (config.layers, config.width, config.feed_forward) == (5, 64, 172)
    assert (config.heads, config.kv_heads, config.head_width) == (8, 4, 8)
    assert (config.vocab_size, config.context_length) == (512, 512)
    assert config.tied and config.window is None
    assert config.norm_eps == pytest.approx(1e-5)
    assert config.attention_scale == pytest.approx(8**-0.5)
    assert not config.rope.halves and config.rope.dimensions == 8


@pytest.mark.parametrize(("architecture", "halves"), [("llama", False), ("qwen2", True)])
def test_which_values_turn_together(architecture: str, halves: bool) -> None:
    assert config_with(architecture).rope.halves is halves


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_count", 0),
        ("block_count", -3),
        ("block_count", "five"),
        ("block_count", 2.0),
        ("block_count", True),
        ("block_count", 2**40),
        ("embedding_length", 0),
        ("feed_forward_length", 0),
        ("context_length", 0),
        ("attention.head_count", 0),
        ("attention.head_count", 3),
        ("attention.head_count_kv", 3),
        ("attention.key_length", 0),
        ("attention.layer_norm_rms_epsilon", 0.0),
        ("attention.layer_norm_rms_epsilon", -1e-5),
        ("attention.layer_norm_rms_epsilon", float("nan")),
        ("attention.layer_norm_rms_epsilon", "small"),
        ("attention.sliding_window", -1),
        ("vocab_size", 99),
        ("rope.dimension_count", 15),
        ("rope.dimension_count", 18),
        ("rope.freq_base", 0.0),
        ("rope.freq_base", float("inf")),
        ("rope.scaling.type", 7),
        ("rope.scaling.factor", -2.0),
        ("rope.scaling.yarn_beta_fast", 0.0),
        ("rope.scaling.yarn_ext_factor", 1.5),
    ],
)
def test_wrong_value_names_key_and_value(key: str, value: Any) -> None:
    with pytest.raises(GGUFError) as error:
        config_with(**{key.replace(".", "__"): value})
    message = str(error.value)
    assert key.rsplit(".", 1)[-1] in message
    assert str(value) in message or repr(value) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "key", ["block_count", "embedding_length", "attention.layer_norm_rms_epsilon"]
)
def test_missing_key_is_named(key: str) -> None:
    file = random_model()
    del file.metadata[f"llama.{key}"]
    with pytest.raises(GGUFError, match=f"llama.{key} is missing"):
        ModelConfig.from_metadata(file.metadata, file.tensors)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"expert_count": 8}, "expert_count is 8"),
        ({"attention.causal": False}, "causal"),
        ({"attention.value_length": 8}, "value_length is 8"),
        ({"attention.head_count_kv": [2, 1]}, "head_count_kv varies"),
        ({"rope.scaling.type": "longrope"}, "'longrope'; supported: none, linear, yarn"),
    ],
)
def test_kinds_that_cannot_run_are_refused(keys: dict[str, Any], words: str) -> None:
    file = random_model("qwen2", keys=keys)
    with pytest.raises(UnsupportedError, match=words):
        ModelConfig.from_metadata(file.metadata, file.tensors)


@pytest.mark.parametrize("counts", [[2, 2], np.array([2, 2], np.int32)])
def test_per_layer_arrays_that_agree_are_one_number(counts: Any) -> None:
    assert config_with(attention__head_count_kv=counts).kv_heads == 2


def test_head_width_defaults_to_width_over_heads() -> None:
    file = random_model()
    del file.metadata["llama.attention.key_length"], file.metadata["llama.attention.value_length"]
    assert ModelConfig.from_metadata(file.metadata, file.tensors).head_width == 16


def test_window_is_kept_only_when_narrower_than_the_context() -> None:
    assert config_with(attention__sliding_window=9).window == 9
    assert config_with(attention__sliding_window=512).window is None
    assert config_with(attention__sliding_window=0).window is None


def test_window_in_some_layers_only_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="sliding_window is 9"):
        config_with("qwen2", attention__sliding_window=9)


@pytest.mark.parametrize("name", ["gemma", None, 3, ["llama"], "x" * 10**6])
def test_other_architecture_lists_the_supported(name: Any) -> None:
    with pytest.raises(UnsupportedError, match="supported: llama, qwen2, qwen3") as error:
        ModelConfig.from_metadata({"general.architecture": name}, {})
    assert len(str(error.value)) < 200


def test_giant_values_do_not_make_giant_messages() -> None:
    for value in ("x" * 10**6, list(range(10**5)), []):
        with pytest.raises(HomezooError, match="head_count_kv") as error:
            config_with(attention__head_count_kv=value)
        assert len(str(error.value)) < 200


def test_giant_heads_are_refused_before_memory_is_taken_for_them() -> None:
    keys = {"attention.key_length": 2**30, "attention.value_length": 2**30}
    file = random_model(keys=keys | {"rope.dimension_count": 2**30})
    with pytest.raises(GGUFError, match="blk.0.attn_q.weight has shape"):
        load_model(file)


def test_vocabulary_only_file_is_an_error() -> None:
    file = random_model()
    with pytest.raises(HomezooError, match="token_embd.weight is missing"):
        ModelConfig.from_metadata(file.metadata, {})
