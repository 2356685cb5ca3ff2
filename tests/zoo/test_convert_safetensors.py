"""Safetensors files from strangers: what is sound is read exactly, all else is one clear error."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from homezoo.errors import CheckpointError, UnsupportedError
from homezoo.zoo.safetensors import open_weights, read_file


def write(path: Path, header: Any, body: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + body)
    return path


def entry(shape: list[Any], offsets: list[Any], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_the_format_packages_own_file_is_read(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    wanted = {
        "a": random.standard_normal((3, 4)).astype(np.float32),
        "b.c": random.standard_normal((2, 5)).astype(np.float16),
        "d": random.standard_normal(7),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
    }
    save_file(wanted, tmp_path / "model.safetensors", metadata={"format": "np"})
    found = open_weights(tmp_path)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert np.array_equal(found[name].floats(), values.astype(np.float32)), name
    assert np.array_equal(found["a"].floats(1, 3), wanted["a"][1:3])


def test_bf16_is_exact(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xC000, 0x7F7F, 0x0001], "<u2")
    path = write(tmp_path / "model.safetensors", {"x": entry([4], [0, 8], "BF16")}, bits.tobytes())
    values = next(read_file(path)).floats()
    assert values.tolist() == [1.0, -2.0, 3.3895313892515355e38, 9.183549615799121e-41]


@pytest.mark.parametrize(
    "header, body, length, said",
    [
        ({"x": entry([2], [0, 8])}, b"\0" * 7, None, "expected it from 0"),
        ({"x": entry([2], [0, 8])}, b"\0" * 9, None, "no tensor claims"),
        ({"x": entry([2], [4, 12])}, b"\0" * 12, None, "expected it from 0"),
        (
            {"x": entry([2], [0, 8]), "y": entry([2], [4, 12])},
            b"\0" * 12,
            None,
            "expected it from 8",
        ),
        ({"x": entry([2], [0, 4])}, b"\0" * 4, None, "needs 8 bytes"),
        ({"x": entry([-1], [0, 4])}, b"\0" * 4, None, "shape"),
        ({"x": entry([1 << 62, 4], [0, 0])}, b"", None, "needs"),
        ({"x": entry([1] * 9, [0, 4])}, b"\0" * 4, None, "shape"),
        ({"x": entry([True], [0, 4])}, b"\0" * 4, None, "shape"),
        ({"x": entry([1], [8, 4])}, b"\0" * 8, None, "data_offsets"),
        ({"x": entry([1], [0, 4], "F31")}, b"\0" * 4, None, "F31"),
        ({"x": 3}, b"", None, "type None"),
        (b'{"x": 1, "x": 2}', b"", None, "'x' twice"),
        (b"[" * 100_000, b"", None, "not sound JSON"),
        (b"{}", b"", 1 << 60, "cut short"),
        (b"\xff\xfe", b"", None, "not sound JSON"),
        (b"[]", b"", None, "no JSON object"),
    ],
)
def test_damaged_headers(
    tmp_path: Path, header: Any, body: bytes, length: int | None, said: str
) -> None:
    path = write(tmp_path / "model.safetensors", header, body, length)
    with pytest.raises(CheckpointError, match=said):
        list(read_file(path))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64), st.integers(0, 200), st.integers(0, 255))
def test_any_change_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, place: int, byte: int
) -> None:
    path = tmp_path_factory.mktemp("any") / "model.safetensors"
    write(path, {"x": entry([2, 2], [0, 16]), "y": entry([1], [16, 20])}, b"\1" * 20)
    data = bytearray(path.read_bytes())
    data[place % len(data)] = byte
    path.write_bytes(bytes(data) + tail)
    try:
        tensors = list(read_file(path))
    except CheckpointError:
        return
    assert sum(tensor.data.nbytes for tensor in tensors) == 20


def test_index_must_stay_in_the_folder_and_be_true(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", {"x": entry([1], [0, 4])}, b"\0" * 4)
    index = tmp_path / "model.safetensors.index.json"
    for places, said in (
        ({"x": "../a.safetensors"}, "none beside it"),
        ({"x": "a.bin"}, "none beside it"),
        ({"x": "b.safetensors"}, "missing"),
        ({"x": "a.safetensors", "y": "a.safetensors"}, "'y' is in"),
        ({"y": "a.safetensors"}, "places it in None"),
        ({}, "weight_map"),
    ):
        index.write_text(json.dumps({"weight_map": places}))
        with pytest.raises(CheckpointError, match=said):
            open_weights(tmp_path)


def test_pickles_are_refused_and_integers_are_no_weights(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\3\4")
    with pytest.raises(UnsupportedError, match="pickled weights.*can run programs"):
        open_weights(tmp_path)
    path = write(tmp_path / "model.safetensors", {"x": entry([4], [0, 4], "U8")}, b"\0" * 4)
    with pytest.raises(UnsupportedError, match="U8"):
        next(read_file(path)).floats()
