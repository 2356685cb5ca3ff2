"""Loading takes every tensor of a file; a missing, extra or wrongly shaped one is named."""

import numpy as np
import pytest
from random_models import random_model, tensor_of

from homezoo.errors import GGUFError, UnsupportedError
from homezoo.formats.block_types import BlockType
from homezoo.models.llama import Llama
from homezoo.models.load import load_model
from homezoo.models.qwen3 import Qwen3


@pytest.mark.parametrize(
    ("architecture", "kind"), [("llama", Llama), ("qwen2", Llama), ("qwen3", Qwen3)]
)
def test_architecture_decides(architecture: str, kind: type) -> None:
    assert type(load_model(random_model(architecture))) is kind


def test_other_architecture_lists_the_supported() -> None:
    file = random_model()
    file.metadata["general.architecture"] = "mamba"
    with pytest.raises(UnsupportedError, match="'mamba'; supported: llama, qwen2, qwen3"):
        load_model(file)


@pytest.mark.parametrize(
    "name",
    ["output_norm.weight", "blk.1.ffn_down.weight", "blk.0.attn_norm.weight", "token_embd.weight"],
)
def test_missing_tensor_is_named(name: str) -> None:
    file = random_model()
    del file.tensors[name]
    with pytest.raises(GGUFError, match=f"{name} is missing"):
        load_model(file)


def test_extra_tensors_are_named() -> None:
    file = random_model()
    for name in ("blk.2.attn_q.weight", "blk.0.attn_q_norm.weight"):
        file.tensors[name] = tensor_of(name, np.ones((1, 16)))
    with pytest.raises(GGUFError, match="2 tensors .* blk.0.attn_q_norm.weight, blk.2.attn_q.we"):
        load_model(file)


def test_long_list_of_extra_tensors_is_cut() -> None:
    file = random_model()
    for layer in range(2, 40):
        name = f"blk.{layer}.attn_q.weight"
        file.tensors[name] = tensor_of(name, np.ones((1, 16)))
    with pytest.raises(GGUFError, match="38 tensors") as error:
        load_model(file)
    assert str(error.value).count("blk.") == 5 and str(error.value).endswith("…")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("blk.0.attn_k.weight", (64, 64)),
        ("blk.1.ffn_down.weight", (96, 64)),
        ("output_norm.weight", (32,)),
        ("blk.0.attn_q.bias", (8,)),
    ],
)
def test_wrong_shape_is_named(name: str, shape: tuple[int, ...]) -> None:
    file = random_model(biases=("attn_q",))
    file.tensors[name] = tensor_of(name, np.ones(shape))
    with pytest.raises(GGUFError, match=f"{name} has shape .*{shape[0]}.*; expected"):
        load_model(file)


def test_norm_of_another_type_is_named() -> None:
    file = random_model()
    file.tensors["output_norm.weight"] = tensor_of("output_norm.weight", np.ones(64), BlockType.F16)
    with pytest.raises(GGUFError, match="output_norm.weight is F16"):
        load_model(file)


def test_tied_output_is_the_embedding() -> None:
    tied, untied = load_model(random_model(tied=True)), load_model(random_model())
    assert tied.config.tied and tied.output.weight is tied.token_embd
    assert not untied.config.tied and untied.output.weight.name == "output.weight"


def test_biases_are_taken_where_the_file_has_them() -> None:
    model = load_model(random_model(biases=("attn_q", "ffn_up")))
    linears = model.linears()
    assert linears["blk.1.attn_q"].bias is not None and linears["blk.0.ffn_up"].bias is not None
    assert linears["blk.1.attn_k"].bias is None


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_linears_have_their_gguf_names(architecture: str) -> None:
    names = load_model(random_model(architecture)).linears()
    parts = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    assert set(names) == {f"blk.{i}.{part}" for i in (0, 1) for part in parts} | {"output"}
    assert all(linear.weight.name == f"{name}.weight" for name, linear in names.items())
