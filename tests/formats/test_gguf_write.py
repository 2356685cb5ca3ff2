"""The writer: types it chooses, what it refuses, and that nothing half-written ever shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homezoo.errors import GGUFError
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_types import ValueType as V
from homezoo.formats.gguf_write import GGUFWriter


@pytest.mark.parametrize(
    ("value", "types"),
    [
        (7, (V.UINT32, None)),
        (2**32 - 1, (V.UINT32, None)),
        (2**32, (V.UINT64, None)),
        (-1, (V.INT32, None)),
        (-(2**31) - 1, (V.INT64, None)),
        (1e-5, (V.FLOAT32, None)),
        (True, (V.BOOL, None)),
        ("text", (V.STRING, None)),
        (np.uint8(3), (V.UINT8, None)),
        (np.float64(3), (V.FLOAT64, None)),
        (np.bool_(True), (V.BOOL, None)),
        ([1, 2], (V.ARRAY, V.INT32)),
        ([1, 2**31], (V.ARRAY, V.INT64)),
        ([1, 2**63], (V.ARRAY, V.UINT64)),
        ((0.5, 1.5), (V.ARRAY, V.FLOAT32)),
        ([True, False], (V.ARRAY, V.BOOL)),
        (["a", ""], (V.ARRAY, V.STRING)),
        (np.arange(3, dtype=np.uint16), (V.ARRAY, V.UINT16)),
        (np.arange(3, dtype=">i4"), (V.ARRAY, V.INT32)),
    ],
)
def test_value_gets_the_type_llama_cpp_expects(tmp_path: Path, value: Any, types: tuple) -> None:
    with GGUFWriter(tmp_path / "f.gguf") as writer:
        writer.add("key", value)
    with GGUFFile.open(tmp_path / "f.gguf") as file:
        assert file.metadata.type_of("key") == types
        found = file.metadata["key"]
        if types == (V.FLOAT32, None):
            assert found == np.float32(value)
        else:
            assert np.array_equal(found, value)


@pytest.mark.parametrize(
    ("value", "type", "item_type", "words"),
    [
        (None, None, None, "NoneType"),
        ({"a": 1}, None, None, "dict"),
        (2**64, None, None, "64 bits"),
        (256, V.UINT8, None, "does not fit UINT8"),
        (-1, V.UINT32, None, "does not fit UINT32"),
        (1.5, V.UINT32, None, "holds 1.5 instead of UINT32"),
        (True, V.UINT32, None, "holds True instead of UINT32"),
        (1, V.BOOL, None, "holds 1 instead of BOOL"),
        (1e39, None, None, "does not fit FLOAT32"),
        pytest.param(10**400, V.FLOAT64, None, "too large for FLOAT64", id="huge"),
        (1, V.STRING, None, "instead of a string"),
        ("a", V.UINT8, None, "instead of one UINT8"),
        ([1], V.UINT8, None, "instead of one UINT8"),
        (1, V.UINT8, V.UINT8, "takes no item type"),
        ("\ud800", None, None, "Unicode"),
        (["a", "\ud800"], None, None, "Unicode"),
        ("abc", V.ARRAY, V.STRING, "instead of an array"),
        ([], None, None, "is empty"),
        ([1, "a"], None, None, "mixes types"),
        ([1, 2.5], None, None, "mixes types"),
        ([True, 1], None, None, "mixes types"),
        ([[1]], None, None, "mixes types"),
        ([[1]], V.ARRAY, V.ARRAY, "nested"),
        ([1, 300], V.ARRAY, V.UINT8, "does not fit UINT8"),
        (["a", 1], V.ARRAY, V.STRING, "instead of a string"),
        (np.ones((2, 2)), None, None, "2 dimensions"),
        (np.ones(2, complex), None, None, "complex128"),
        (np.ones(2), V.ARRAY, V.INT32, "float64 instead of INT32"),
    ],
)
def test_value_that_cannot_be_written(
    tmp_path: Path, value: Any, type: V | None, item_type: V | None, words: str
) -> None:
    with pytest.raises(GGUFError, match=words) as caught, GGUFWriter(tmp_path / "f") as writer:
        writer.add("the key", value, type, item_type)
    assert "'the key'" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["", "k" * 65536, "\ud800"])
def test_key_that_cannot_be_written(tmp_path: Path, key: str) -> None:
    with pytest.raises(GGUFError, match="key"), GGUFWriter(tmp_path / "f.gguf") as writer:
        writer.add(key, 1)


def declare_twice(writer: GGUFWriter) -> None:
    writer.declare("w", BlockType.F32, (2,))
    writer.declare("w", BlockType.F32, (2,))


def add_after_data(writer: GGUFWriter) -> None:
    writer.declare("w", BlockType.F32, (2,))
    writer.write("w", bytes(4))
    writer.add("key", 1)


def add_twice(writer: GGUFWriter) -> None:
    writer.add("key", 1)
    writer.add("key", 2)


def too_much(writer: GGUFWriter) -> None:
    writer.declare("w", BlockType.F32, (2,))
    writer.write("w", bytes(4))
    writer.write("w", bytes(8))


def too_little(writer: GGUFWriter) -> None:
    writer.declare("w", BlockType.F32, (2,))
    writer.write("w", bytes(4))


def wrong_dtype(writer: GGUFWriter) -> None:
    writer.declare("w", BlockType.F32, (2,))
    writer.write("w", np.ones(2))


def alignment_after_tensor(writer: GGUFWriter) -> None:
    writer.declare("w", BlockType.F32, (2,))
    writer.add("general.alignment", 64)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (declare_twice, "'w' was declared twice"),
        (add_after_data, "'key' comes too late"),
        (add_twice, "'key' was added twice"),
        (too_much, "'w' takes 8 bytes, not 12"),
        (too_little, "'w' got 4 of 8 bytes"),
        (wrong_dtype, "'w' is F32, its data are float64"),
        (alignment_after_tensor, "alignment comes too late"),
        (lambda w: w.write("w", b""), "'w' was not declared"),
        (lambda w: w.declare("w", BlockType.F32, ()), "shape"),
        (lambda w: w.declare("w", BlockType.F32, (0,)), "shape"),
        (lambda w: w.declare("w", BlockType.F32, (1,) * 5), "shape"),
        (lambda w: w.declare("w", BlockType.Q4_0, (33,)), "33 elements.*multiple of 32"),
        (lambda w: w.declare("n" * 64, BlockType.F32, (1,)), "64 bytes long; 1 to 63"),
        (lambda w: w.add("general.alignment", 24), "power of two"),
    ],
)
def test_misuse_is_named_and_leaves_nothing(
    tmp_path: Path, act: Callable[[GGUFWriter], None], words: str
) -> None:
    with pytest.raises(GGUFError, match=words), GGUFWriter(tmp_path / "f.gguf") as writer:
        act(writer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"the old file")

    def write_half() -> None:
        with GGUFWriter(path) as writer:
            writer.declare("w", BlockType.F32, (1024,))
            writer.write("w", bytes(2048))
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with GGUFWriter(path) as writer:
        writer.declare("w", BlockType.F32, (2,))
        writer.write("w", bytes(8))
        assert not path.exists()
    assert list(tmp_path.iterdir()) == [path]
    GGUFFile.open(path).close()


def test_open_file_may_be_replaced(tmp_path: Path, stories_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(stories_path.read_bytes())
    with GGUFFile.open(path) as file:
        before = file.tensors["output_norm.weight"].data.copy()
        with GGUFWriter(path) as writer:
            writer.add("general.architecture", "llama")
        np.testing.assert_array_equal(file.tensors["output_norm.weight"].data, before)
    with GGUFFile.open(path) as file:
        assert not file.tensors


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match=r"none.model\.gguf cannot be written: No such file"):
        GGUFWriter(tmp_path / "none" / "model.gguf")


def test_target_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").mkdir()
    with (
        pytest.raises(GGUFError, match=r"model\.gguf cannot be written"),
        GGUFWriter(tmp_path / "model.gguf"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_real_model_is_copied_byte_for_byte(tmp_path: Path, stories_path: Path) -> None:
    with GGUFFile.open(stories_path) as file, GGUFWriter(tmp_path / "copy.gguf") as writer:
        writer.copy_metadata(file.metadata)
        writer.write_tensors(file.tensors.values())
    assert (tmp_path / "copy.gguf").read_bytes() == stories_path.read_bytes()


def test_copied_metadata_may_leave_keys_out(tmp_path: Path, stories_path: Path) -> None:
    with GGUFFile.open(stories_path) as file:
        kept = [key for key in file.metadata if key != "general.name"]
        with GGUFWriter(tmp_path / "copy.gguf") as writer:
            writer.copy_metadata(file.metadata, skip=["general.name"])
    with GGUFFile.open(tmp_path / "copy.gguf") as copy:
        assert list(copy.metadata) == kept


def test_data_in_pieces_and_as_floats(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    with GGUFWriter(tmp_path / "f.gguf") as writer:
        writer.declare("a", BlockType.F32, (3, 4))
        writer.declare("b", BlockType.F16, (4, 3))
        writer.declare("c", BlockType.BF16, (3, 4))
        writer.write("a", values[:1])
        writer.write("b", values.astype(np.float16).T)  # not contiguous
        writer.write("a", values[1:].tobytes())
        writer.write("c", memoryview((values.view(np.uint32) >> 16).astype(np.uint16)))
    with GGUFFile.open(tmp_path / "f.gguf") as file:
        np.testing.assert_array_equal(file.tensors["a"].data.view("<f4"), values)
        np.testing.assert_array_equal(file.tensors["b"].data.view("<f2"), values.T)
        found = file.tensors["c"].data.view("<u2").astype(np.uint32) << 16
        np.testing.assert_array_equal(found.view(np.float32), values)
