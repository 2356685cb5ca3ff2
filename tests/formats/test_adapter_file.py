"""Adapter files: round trips to the bit, the form that llama.cpp reads, and hostile files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homezoo.errors import AdapterError, HomezooError, UnsupportedError
from homezoo.formats.adapter_file import Adapter, read_adapter, write_adapter
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter


def pair(rank: int = 2, rows: int = 6, width: int = 4, seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    a = random.standard_normal((rank, width)).astype(np.float32)
    return a, random.standard_normal((rows, rank)).astype(np.float32)


def write_file(path: Path, keys: dict[str, Any], tensors: dict[str, np.ndarray]) -> Path:
    """An adapter file with some keys changed (None: left out) and these float32 tensors."""
    own = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
    with GGUFWriter(path) as writer:
        for key, value in (own | {"adapter.lora.alpha": 4.0} | keys).items():
            if value is not None:
                writer.add(key, value)
        for name, values in tensors.items():
            writer.declare(name, BlockType.F32, values.shape)
        for name, values in tensors.items():
            writer.write(name, values)
    return path


def sound() -> dict[str, np.ndarray]:
    a, b = pair()
    return {"blk.0.attn_q.weight.lora_a": a, "blk.0.attn_q.weight.lora_b": b}


def test_round_trip_is_bit_exact(tmp_path: Path) -> None:
    deltas = {"blk.0.attn_q": pair(2), "blk.1.ffn_down": pair(3, seed=1), "output": pair(1, seed=2)}
    metadata = {"general.name": "lesson", "homezoo.template": "alpaca", "general.tags": ["a", "b"]}
    write_adapter(tmp_path / "a.gguf", Adapter("llama", 7.5, deltas, metadata))
    found = read_adapter(tmp_path / "a.gguf")
    assert (found.architecture, found.alpha) == ("llama", 7.5)
    assert dict(found.metadata) == metadata
    assert list(found.deltas) == list(deltas)
    for name, (a, b) in deltas.items():
        np.testing.assert_array_equal(found.deltas[name][0].view(np.uint32), a.view(np.uint32))
        np.testing.assert_array_equal(found.deltas[name][1].view(np.uint32), b.view(np.uint32))


def test_it_is_the_form_that_llama_cpp_reads(tmp_path: Path) -> None:
    write_adapter(tmp_path / "a.gguf", Adapter("bloom", 32.0, {"blk.3.attn_qkv": pair(2, 6, 4)}))
    with GGUFFile.open(tmp_path / "a.gguf") as file:
        assert dict(file.metadata) == {
            "general.architecture": "bloom",
            "general.type": "adapter",
            "adapter.type": "lora",
            "adapter.lora.alpha": 32.0,
        }
        shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    assert shapes == {
        "blk.3.attn_qkv.weight.lora_a": (2, 4),
        "blk.3.attn_qkv.weight.lora_b": (6, 2),
    }


def test_scales_follow_from_alpha_and_each_rank() -> None:
    deltas = {"one": pair(1), "four": pair(4)}
    adapter = Adapter("llama", 8.0, deltas)
    assert [adapter.scale_of(name) for name in deltas] == [8.0, 2.0]
    assert Adapter("llama", 0.0, deltas).scale_of("four") == 1.0
    assert adapter.parameters == 10 + 40


@pytest.mark.parametrize("type", [BlockType.F16, BlockType.BF16])
def test_shorter_floats_are_read(tmp_path: Path, type: BlockType) -> None:
    from homezoo.formats.block_quantize import quantize

    values = np.array([[1.0, -0.5], [2.0, 0.25]], np.float32)  # both formats hold them exactly
    with GGUFWriter(tmp_path / "a.gguf") as writer:
        writer.add("general.architecture", "llama")
        writer.add("general.type", "adapter")
        writer.add("adapter.type", "lora")
        for end in "ab":
            writer.declare(f"output.weight.lora_{end}", type, values.shape)
        for end in "ab":
            writer.write(f"output.weight.lora_{end}", quantize(type, values))
    found = read_adapter(tmp_path / "a.gguf")
    assert found.alpha == 0
    np.testing.assert_array_equal(found.deltas["output"][0], values)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"general.type": "model"}, "is no adapter: its general.type is 'model'"),
        ({"general.type": None}, "is no adapter: its general.type is None"),
        ({"adapter.type": "dora"}, "adapter.type is 'dora'; only 'lora' can run"),
        ({"adapter.alora.invocation_tokens": [1, 2]}, "activated LoRA"),
        ({"general.architecture": 7}, "architecture of its base"),
        ({"adapter.lora.alpha": "8"}, "adapter.lora.alpha is '8'; expected a number"),
        ({"adapter.lora.alpha": float("nan")}, "alpha is nan; expected a finite number"),
    ],
)
def test_other_kinds_are_refused_by_name(
    tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    path = write_file(tmp_path / "a.gguf", keys, sound())
    with pytest.raises(HomezooError, match=message):
        read_adapter(path)


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ({"blk.0.attn_norm.weight": np.ones(4, np.float32)}, UnsupportedError, "attn_norm.weight"),
        ({"token_embd.weight.lora_a": pair()[0]}, UnsupportedError, "changes token_embd"),
        ({"blk.0.attn_q.lora_a": pair()[0]}, UnsupportedError, "blk.0.attn_q.lora_a"),
        ({"output.weight.lora_a": pair()[0]}, AdapterError, "output.weight.lora_b is missing"),
        ({"output.weight.lora_b": pair()[1]}, AdapterError, "output.weight.lora_a is missing"),
        (
            {"output.weight.lora_a": pair(3)[0], "output.weight.lora_b": pair(2)[1]},
            AdapterError,
            "A has rank 3 and B 2",
        ),
        (
            {"output.weight.lora_a": np.ones((2, 3, 4), np.float32)},
            AdapterError,
            "missing|shape",
        ),
        ({}, AdapterError, "0 deltas"),
    ],
)
def test_unsound_files_are_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray], error: type[Exception], message: str
) -> None:
    path = write_file(tmp_path / "a.gguf", {}, tensors)
    with pytest.raises(error, match=message):
        read_adapter(path)


def test_numbers_must_be_finite(tmp_path: Path) -> None:
    tensors = sound()
    tensors["blk.0.attn_q.weight.lora_b"][1, 1] = np.inf
    with pytest.raises(AdapterError, match="a.gguf: delta 'blk.0.attn_q': B holds"):
        read_adapter(write_file(tmp_path / "a.gguf", {}, tensors))


def test_names_are_those_of_linears() -> None:
    with pytest.raises(AdapterError, match="without .weight"):
        Adapter("llama", 1.0, {"output.weight": pair()})


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    adapter = Adapter("llama", 1.0, {"output": pair()}, {"general.type": "model"})
    with pytest.raises(AdapterError, match="may not hold general.type"):
        write_adapter(tmp_path / "a.gguf", adapter)
    assert list(tmp_path.iterdir()) == []
