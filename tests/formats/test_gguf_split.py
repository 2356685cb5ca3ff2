"""Split files: opened by any part; refused when parts are missing, mixed up or do not add up."""

from pathlib import Path

import numpy as np
import pytest

from homezoo.errors import GGUFError
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_types import ValueType
from homezoo.formats.gguf_write import GGUFWriter


def write_part(
    folder: Path,
    number: int,
    count: int = 3,
    total: int | None = 4,
    names: tuple[str, ...] | None = None,
    no: int | None = None,
    stem: str = "model",
) -> Path:
    """Part `number` (from 1): the first holds metadata, each of the others two tensors."""
    path = folder / f"{stem}-{number:05}-of-{count:05}.gguf"
    if names is None:
        names = () if number == 1 else (f"a{number}", f"b{number}")
    with GGUFWriter(path) as writer:
        if number == 1:
            writer.add("general.architecture", "llama")
        writer.add("split.no", number - 1 if no is None else no, ValueType.UINT16)
        writer.add("split.count", count, ValueType.UINT16)
        if total is not None:
            writer.add("split.tensors.count", total, ValueType.INT32)
        for name in names:
            writer.declare(name, BlockType.F32, (2,))
        for name in names:
            writer.write(name, np.full(2, number, np.float32))
    return path


def test_any_part_opens_the_whole(tmp_path: Path) -> None:
    parts = [write_part(tmp_path, number) for number in (1, 2, 3)]
    for part in parts:
        with GGUFFile.open(part) as file:
            assert file.path == part
            assert list(file.tensors) == ["a2", "b2", "a3", "b3"]
            assert file.metadata["general.architecture"] == "llama"
            for name, tensor in file.tensors.items():
                assert tensor.data.view("<f4").tolist() == [[int(name[1])] * 2]


def test_missing_part_is_named(tmp_path: Path) -> None:
    first, second = write_part(tmp_path, 1), write_part(tmp_path, 2)
    for part in (first, second):
        with pytest.raises(GGUFError, match=r"model-00003-of-00003\.gguf is missing; all 3 parts"):
            GGUFFile.open(part)


def test_renamed_part_says_which_name_it_needs(tmp_path: Path) -> None:
    renamed = write_part(tmp_path, 1).rename(tmp_path / "model.gguf")
    with pytest.raises(GGUFError, match=r"one of 3 parts, but its name .*-00001-of-00003\.gguf"):
        GGUFFile.open(renamed)


def test_swapped_parts_are_refused(tmp_path: Path) -> None:
    first = write_part(tmp_path, 1)
    write_part(tmp_path, 2, no=2)
    write_part(tmp_path, 3)
    with pytest.raises(GGUFError, match="00002-of-00003.*split.no is 2, expected 1"):
        GGUFFile.open(first)


def test_part_of_another_split_is_refused(tmp_path: Path) -> None:
    first = write_part(tmp_path, 1)
    write_part(tmp_path, 2)
    write_part(tmp_path, 3, count=4).rename(tmp_path / "model-00003-of-00003.gguf")
    with pytest.raises(GGUFError, match="split.count is 4, expected 3"):
        GGUFFile.open(first)


def test_part_that_is_no_part_is_refused(tmp_path: Path, stories_path: Path) -> None:
    first = write_part(tmp_path, 1)
    write_part(tmp_path, 2)
    (tmp_path / "model-00003-of-00003.gguf").write_bytes(stories_path.read_bytes())
    with pytest.raises(GGUFError, match=r"split\.no is None, expected 2"):
        GGUFFile.open(first)


def test_damaged_part_is_named(tmp_path: Path) -> None:
    first = write_part(tmp_path, 1)
    write_part(tmp_path, 2)
    third = write_part(tmp_path, 3)
    third.write_bytes(third.read_bytes()[:-40])
    with pytest.raises(GGUFError, match=r"model-00003-of-00003\.gguf: tensor 'b3'.*cut"):
        GGUFFile.open(first)


@pytest.mark.parametrize("total", [None, 3, 5])
def test_number_of_tensors_must_add_up(tmp_path: Path, total: int | None) -> None:
    first = write_part(tmp_path, 1, total=total)
    write_part(tmp_path, 2)
    write_part(tmp_path, 3)
    with pytest.raises(GGUFError, match=rf"split\.tensors\.count is {total}, the parts hold 4"):
        GGUFFile.open(first)


def test_tensor_in_two_parts_is_refused(tmp_path: Path) -> None:
    first = write_part(tmp_path, 1)
    write_part(tmp_path, 2)
    write_part(tmp_path, 3, names=("x", "a2"))
    with pytest.raises(GGUFError, match="00003-of-00003.*tensor 'a2' is in another part too"):
        GGUFFile.open(first)


@pytest.mark.parametrize(
    ("value", "type", "words"),
    [
        ("3", ValueType.STRING, "type STRING instead of an integer"),
        (True, ValueType.BOOL, "type BOOL instead of an integer"),
        ([3], ValueType.ARRAY, "type ARRAY instead of an integer"),
        (-3, ValueType.INT32, "is -3; it must not be negative"),
        (2**64 - 1, ValueType.UINT64, "one of 18446744073709551615 parts"),
    ],
)
def test_split_count_that_is_no_count(
    tmp_path: Path, value: object, type: ValueType, words: str
) -> None:
    path = tmp_path / "model-00001-of-00003.gguf"
    with GGUFWriter(path) as writer:
        writer.add("split.count", value, type)
    with pytest.raises(GGUFError, match=words):
        GGUFFile.open(path)


def test_file_of_one_part_needs_no_special_name(tmp_path: Path) -> None:
    path = write_part(tmp_path, 1, count=1, names=("w",)).rename(tmp_path / "any.gguf")
    with GGUFFile.open(path) as file:
        assert list(file.tensors) == ["w"]


def test_copy_of_a_split_file_is_whole(tmp_path: Path) -> None:
    parts = [write_part(tmp_path, number) for number in (1, 2, 3)]
    with GGUFFile.open(parts[0]) as file, GGUFWriter(tmp_path / "whole.gguf") as writer:
        writer.copy_metadata(file.metadata)
        writer.write_tensors(file.tensors.values())
    with GGUFFile.open(tmp_path / "whole.gguf") as whole:
        assert list(whole.metadata) == ["general.architecture"]
        assert list(whole.tensors) == ["a2", "b2", "a3", "b3"]
