"""What is written is read back, by us and the gguf package; damage raises GGUFError only."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homezoo.errors import GGUFError
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_types import NUMBER_DTYPES, ValueType
from homezoo.formats.gguf_values import StringArray
from homezoo.formats.gguf_write import GGUFWriter

# `save` and tmp_path are made once per test, not per example; each example overwrites its file.
RELAXED = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=15)
number_types = st.sampled_from(list(NUMBER_DTYPES))


def numbers(type: ValueType) -> st.SearchStrategy[Any]:
    """Python values that the type can hold exactly."""
    dtype = NUMBER_DTYPES[type]
    if dtype.kind == "b":
        return st.booleans()
    if dtype.kind == "f":
        return st.floats(width=dtype.itemsize * 8)
    limits = np.iinfo(dtype)
    return st.integers(int(limits.min), int(limits.max))


@st.composite
def values(draw: st.DrawFn) -> tuple[Any, ValueType, ValueType | None]:
    """A value, its type, and the type of its items."""
    kind = draw(st.sampled_from(["number", "text", "numbers", "texts"]))
    if kind == "number":
        type = draw(number_types)
        return draw(numbers(type)), type, None
    if kind == "text":
        return draw(texts | texts.map(lambda text: text * 200)), ValueType.STRING, None
    if kind == "texts":
        items = draw(st.lists(texts, max_size=20)) * draw(st.sampled_from([1, 1, 300]))
        return items, ValueType.ARRAY, ValueType.STRING
    type = draw(number_types)
    count = draw(st.sampled_from([1, 1, 600]))
    return draw(st.lists(numbers(type), max_size=12)) * count, ValueType.ARRAY, type


@st.composite
def tensors(draw: st.DrawFn) -> tuple[BlockType, tuple[int, ...], bytes]:
    """A block type, a shape, the blocks."""
    type = draw(st.sampled_from(list(BlockType)))
    lead = draw(st.lists(st.integers(1, 3), max_size=3))
    blocks = draw(st.integers(1, 3))
    size = int(np.prod([*lead, blocks])) * type.block_bytes
    pattern = draw(st.binary(min_size=1, max_size=40))
    return type, (*lead, blocks * type.block_size), (pattern * (size // len(pattern) + 1))[:size]


# Keys that mean something to the reader are tested by name elsewhere.
keys = names.filter(lambda key: key != "general.alignment" and not key.startswith("split."))
metadata = st.dictionaries(keys, values(), max_size=8)
tables = st.dictionaries(names, tensors(), max_size=6)


def same(found: Any, written: Any) -> bool:
    """Equality in which NaN equals NaN."""
    if isinstance(found, str | StringArray):
        return found == written
    return np.array_equal(found, np.asarray(written), equal_nan=np.asarray(found).dtype.kind == "f")


@RELAXED
@given(metadata=metadata, table=tables, alignment=st.sampled_from([None, 1, 8, 32, 256]))
def test_any_metadata_and_tensors_come_back(
    tmp_path: Path, metadata: dict, table: dict, alignment: int | None
) -> None:
    path = tmp_path / "model.gguf"
    with GGUFWriter(path) as writer:
        if alignment:
            writer.add("general.alignment", alignment)
        for key, (value, type, item_type) in metadata.items():
            writer.add(key, value, type, item_type)
        for name, (block, shape, _) in table.items():
            writer.declare(name, block, shape)
        for name, (_, _, data) in reversed(table.items()):  # any order
            writer.write(name, data)
    with GGUFFile.open(path) as file:
        assert file.version == 3 and file.alignment == (alignment or 32)
        expected = (["general.alignment"] if alignment else []) + list(metadata)
        assert list(file.metadata) == expected
        for key, (value, type, item_type) in metadata.items():
            assert same(file.metadata[key], value), key
            assert file.metadata.type_of(key) == (type, item_type)
        assert list(file.tensors) == list(table)
        for name, (block, shape, data) in table.items():
            tensor = file.tensors[name]
            assert (tensor.type, tensor.shape, tensor.data.tobytes()) == (block, shape, data)
            assert tensor.data.shape == (tensor.rows, block.row_bytes(shape[-1]))
        # A copy of what was read is the same file, byte for byte.
        with GGUFWriter(tmp_path / "copy.gguf") as writer:
            writer.copy_metadata(file.metadata)
            writer.write_tensors(file.tensors.values())
        assert (tmp_path / "copy.gguf").read_bytes() == path.read_bytes()


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file with every kind of value and two tensors."""
    path = tmp_path_factory.mktemp("sound") / "model.gguf"
    with GGUFWriter(path) as writer:
        writer.add("general.architecture", "llama")
        writer.add("general.alignment", 32)
        for type, dtype in NUMBER_DTYPES.items():
            writer.add(f"n.{type.name}", np.ones(1, dtype)[0], type)
            writer.add(f"a.{type.name}", np.arange(3).astype(dtype), ValueType.ARRAY, type)
        writer.add("tokens", ["a", "é", "", "日本語", "x" * 300])
        writer.add("long", "é" * 2500)
        writer.declare("blk.0.w", BlockType.Q4_0, (2, 64))
        writer.declare("norm", BlockType.F32, (5,))
        writer.write("blk.0.w", bytes(72))
        writer.write("norm", np.arange(5, dtype=np.float32))
    return path.read_bytes()


def use_everything(path: Path) -> None:
    """Open and read all, or GGUFError; any other exception is a failure."""
    try:
        file = GGUFFile.open(path)
    except GGUFError:
        return
    with file:
        for value in file.metadata.values():
            if isinstance(value, StringArray):
                list(value)
        assert all(tensor.data.sum() >= 0 for tensor in file.tensors.values())


_INTERESTING = [0, 1, 2, 8, 9, 13, 255, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]


@settings(RELAXED, max_examples=1500)
@given(data=st.data())
def test_mutated_bytes_open_or_raise_gguferror(
    tmp_path: Path, sound_file: bytes, data: st.DataObject
) -> None:
    mutated = bytearray(sound_file)
    header = 1500  # most damage where the numbers are
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, header) | st.integers(0, len(mutated)))
        change = data.draw(st.sampled_from(["byte", "number", "cut", "insert", "remove"]))
        if change == "byte":
            mutated[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
        elif change == "number":
            size = data.draw(st.sampled_from([4, 8]))
            value = data.draw(st.sampled_from(_INTERESTING)) % 2 ** (8 * size)
            mutated[place : place + size] = value.to_bytes(size, "little")
        elif change == "cut":
            del mutated[place:]
        elif change == "insert":
            mutated[place:place] = data.draw(st.binary(max_size=9))
        else:
            del mutated[place : place + data.draw(st.integers(1, 9))]
    path = tmp_path / "mutated.gguf"
    path.write_bytes(mutated)
    use_everything(path)


def test_every_single_byte_of_the_header_set_to_ff_or_zero(
    tmp_path: Path, sound_file: bytes
) -> None:
    path = tmp_path / "mutated.gguf"
    for place in range(0, 1500):
        for byte in (b"\xff", b"\0"):
            path.write_bytes(sound_file[:place] + byte + sound_file[place + 1 :])
            use_everything(path)


def test_gguf_package_reads_what_we_write(tmp_path: Path, sound_file: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(sound_file)
    reader = gguf.GGUFReader(path)
    with GGUFFile.open(path) as file:
        fields = {key: f for key, f in reader.fields.items() if not key.startswith("GGUF.")}
        assert list(fields) == list(file.metadata)
        for key, reader_field in fields.items():
            expected = reader_field.contents()
            assert same(file.metadata[key], expected), key
            types = [ValueType(int(type)) for type in reader_field.types]
            found, item_type = file.metadata.type_of(key)
            assert types == ([found] if item_type is None else [found, item_type])
        assert [t.name for t in reader.tensors] == list(file.tensors)
        for reader_tensor in reader.tensors:
            tensor = file.tensors[reader_tensor.name]
            assert int(reader_tensor.tensor_type) == tensor.type
            assert reader_tensor.shape.tolist() == list(reversed(tensor.shape))
            assert reader_tensor.data.tobytes() == tensor.data.tobytes()
            assert reader_tensor.data_offset % 32 == 0
