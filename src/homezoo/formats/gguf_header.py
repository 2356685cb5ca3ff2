"""Reads the header of one GGUF file: metadata and tensor table, every number checked before use.

Layout: magic, version, tensor count, key count; the keys and values; the tensor table; padding to
the alignment; the tensors' bytes. Source: github.com/ggml-org/ggml, docs/gguf.md.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import numpy as np

from homezoo.errors import GGUFError
from homezoo.formats.gguf_kind import describe_kind
from homezoo.formats.gguf_strings import check_utf8, find_strings
from homezoo.formats.gguf_types import (
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_ALIGNMENT,
    MAX_DIMENSIONS,
    MAX_KEY_BYTES,
    MAX_NAME_BYTES,
    NUMBER_DTYPES,
    TENSOR_LAYOUTS,
    VERSIONS,
    ValueType,
)
from homezoo.formats.gguf_values import LENGTH_BYTES, LongString, Metadata, StringArray

_SHORT_STRING_BYTES = 4096  # longer strings stay in the file until asked for
_SHORT_ARRAY_BYTES = 4096  # longer number arrays are views of the file

# What a header may hold in memory. Every count is charged here before it is believed, so that no
# file can make the reader take more; the largest vocabularies (1 M strings) need 8 MB.
HEADER_BUDGET = 24 << 20
_ENTRY_COST = 600  # bytes of Python objects for one key or tensor, measured and rounded up

_U32 = Struct("<I")
_U64 = Struct("<Q")
_NUMBERS = {
    type: Struct("<" + {"?": "B"}.get(dtype.char, dtype.char))
    for type, dtype in NUMBER_DTYPES.items()
}


@dataclass
class Budget:
    """Bytes of memory that headers may still take; shared by the parts of a split file."""

    left: int = HEADER_BUDGET

    def charge(self, cost: int, what: str) -> None:
        """Take `cost` bytes; GGUFError when they are not left."""
        self.left -= cost
        if self.left < 0:
            raise GGUFError(
                f"{what}: the header asks for more than {HEADER_BUDGET >> 20} MiB of memory, "
                "far more than any real model; the file is damaged or hostile"
            )


class TensorEntry(NamedTuple):
    """One line of the tensor table; `offset` counts from the start of the file."""

    name: str
    type: int
    shape: tuple[int, ...]  # row-major: the reverse of the file's order
    offset: int
    row_bytes: int
    size: int  # bytes


@dataclass
class Header:
    """What a header says, checked against the size of its file."""

    version: int
    alignment: int
    metadata: Metadata
    tensors: list[TensorEntry] = field(default_factory=list)


class _Cursor:
    """A position in the mapped bytes that can never leave them."""

    def __init__(self, data: memoryview, budget: Budget) -> None:
        self.data = data
        self.position = 0
        self.budget = budget

    @property
    def left(self) -> int:
        return len(self.data) - self.position

    def skip(self, size: int, what: str) -> int:
        """Go `size` bytes on and give where they began; GGUFError when they are not there."""
        if size > self.left:
            raise GGUFError(
                f"{what} needs {size} bytes at {self.position}, but the file ends at "
                f"{len(self.data)}; it is cut or damaged"
            )
        start = self.position
        self.position += size
        return start

    def number(self, layout: Struct, what: str) -> int | float:
        found: int | float = layout.unpack_from(self.data, self.skip(layout.size, what))[0]
        return found

    def u32(self, what: str) -> int:
        return int(self.number(_U32, what))

    def u64(self, what: str) -> int:
        return int(self.number(_U64, what))

    def value_type(self, what: str) -> ValueType:
        found = self.u32(what)
        if found > max(ValueType):
            raise GGUFError(f"{what} has the unknown value type {found}")
        return ValueType(found)

    def name(self, limit: int, what: str) -> str:
        """A key or tensor name, decoded at once."""
        length = self.u64(f"the length of {what}")
        if not 0 < length <= limit:
            raise GGUFError(f"{what} claims to be {length} bytes long; 1 to {limit} are allowed")
        start = self.skip(length, what)
        self.budget.charge(_ENTRY_COST + 4 * length, what)
        try:
            return str(self.data[start : self.position], "utf-8")
        except UnicodeDecodeError as error:
            raise GGUFError(f"{what} is not valid UTF-8: {error.object[:64]!r}") from None


def read_header(data: memoryview, path: Path, budget: Budget) -> Header:
    """Parse and check the header in the bytes of a whole file. Raises GGUFError."""
    if bytes(data[:4]) != MAGIC:
        raise GGUFError(f"{path} {describe_kind(bytes(data[:64]))}")
    try:
        return _read_checked(_Cursor(data, budget))
    except GGUFError as error:
        raise GGUFError(f"{path}: {error}") from None


def _read_checked(cursor: _Cursor) -> Header:
    cursor.skip(len(MAGIC), "the magic")
    version = cursor.u32("the version")
    if version not in VERSIONS:
        if version & 0xFFFF == 0 and version:
            raise GGUFError("is big-endian; get the little-endian file of the same model")
        raise GGUFError(
            f"has GGUF version {version}; homezoo reads versions 2 and 3, get a newer conversion"
            if version < min(VERSIONS)
            else f"has GGUF version {version}; homezoo reads versions 2 and 3"
        )
    tensor_count = cursor.u64("the tensor count")
    key_count = cursor.u64("the key count")
    # Smallest key: length, one character, type, one byte. Smallest tensor: the same with one
    # dimension, type and offset.
    for count, least, what in ((key_count, 14, "keys"), (tensor_count, 33, "tensors")):
        if count * least > cursor.left:
            raise GGUFError(
                f"claims {count} {what}, more than fit into its {len(cursor.data)} bytes"
            )
    metadata = _read_metadata(cursor, key_count)
    alignment = _alignment(metadata)
    table = [_read_entry(cursor, index, alignment) for index in range(tensor_count)]
    data_start = -(-cursor.position // alignment) * alignment
    tensors = [entry._replace(offset=entry.offset + data_start) for entry in table]
    _check_places(tensors, len(cursor.data))
    return Header(version, alignment, metadata, tensors)


def _alignment(metadata: Metadata) -> int:
    if "general.alignment" not in metadata:
        return DEFAULT_ALIGNMENT
    found = metadata["general.alignment"]
    kind, _ = metadata.type_of("general.alignment")
    if kind is not ValueType.UINT32:
        raise GGUFError(f"general.alignment is of type {kind.name} instead of UINT32")
    if found & (found - 1) or not 0 < found <= MAX_ALIGNMENT:
        raise GGUFError(
            f"general.alignment is {found}; it must be a power of two up to {MAX_ALIGNMENT}"
        )
    return int(found)


def _read_metadata(cursor: _Cursor, count: int) -> Metadata:
    metadata = Metadata()
    for index in range(count):
        key = cursor.name(MAX_KEY_BYTES, f"key {index}")
        if key in metadata:
            raise GGUFError(f"key {key!r} appears twice")
        kind = cursor.value_type(f"key {key!r}")
        if kind is ValueType.ARRAY:
            item_type = cursor.value_type(f"the items of {key!r}")
            metadata.insert(key, _read_array(cursor, item_type, key), kind, item_type)
        elif kind is ValueType.STRING:
            metadata.insert(key, _read_string(cursor, key), kind)
        else:
            value = cursor.number(_NUMBERS[kind], f"the value of {key!r}")
            if kind is ValueType.BOOL:
                if value not in (0, 1):
                    raise GGUFError(f"{key!r} is a bool, but its byte is {value} instead of 0 or 1")
                value = bool(value)
            metadata.insert(key, value, kind)
    return metadata


def _read_string(cursor: _Cursor, key: str) -> str | LongString:
    length = cursor.u64(f"the length of {key!r}")
    start = cursor.skip(length, f"the value of {key!r}")
    view = cursor.data[start : cursor.position]
    if length > _SHORT_STRING_BYTES:
        starts = np.array([start - LENGTH_BYTES, cursor.position])
        check_utf8(cursor.data, starts, repr(key))
        return LongString(view)
    cursor.budget.charge(4 * length, repr(key))
    try:
        return str(view, "utf-8")
    except UnicodeDecodeError as error:
        raise GGUFError(f"{key!r} is not valid UTF-8 at byte {error.start}") from None


def _read_array(cursor: _Cursor, kind: ValueType, key: str) -> StringArray | np.ndarray:
    count = cursor.u64(f"the length of {key!r}")
    if kind is ValueType.ARRAY:
        raise GGUFError(f"{key!r} is an array of {count} arrays; nested arrays are not supported")
    least = LENGTH_BYTES if kind is ValueType.STRING else NUMBER_DTYPES[kind].itemsize
    if count * least > cursor.left:
        raise GGUFError(
            f"{key!r} claims {count} items of type {kind.name}, but only {cursor.left} bytes "
            "are left in the file"
        )
    if kind is ValueType.STRING:
        cursor.budget.charge((count + 1) * 8, repr(key))
        starts = find_strings(cursor.data, cursor.position, count, repr(key))
        check_utf8(cursor.data, starts, repr(key))
        cursor.position = int(starts[-1])
        return StringArray(cursor.data, starts)
    start = cursor.skip(count * least, f"the value of {key!r}")
    return _read_numbers(cursor, kind, count, start, key)


def _read_numbers(cursor: _Cursor, kind: ValueType, count: int, start: int, key: str) -> np.ndarray:
    dtype = NUMBER_DTYPES[kind]
    if kind is ValueType.BOOL:
        raw = np.frombuffer(cursor.data, np.uint8, count, start)
        if count and raw.max() > 1:
            index = int(np.argmax(raw > 1))
            raise GGUFError(f"{key!r}[{index}] is a bool, but its byte is {raw[index]}")
    array = np.frombuffer(cursor.data, dtype, count, start)
    if array.nbytes <= _SHORT_ARRAY_BYTES:
        cursor.budget.charge(array.nbytes, repr(key))
        array = array.copy()
        array.flags.writeable = False
    return array


def _read_entry(cursor: _Cursor, index: int, alignment: int) -> TensorEntry:
    """One line of the tensor table; its offset still counts from the start of the tensor data."""
    name = cursor.name(MAX_NAME_BYTES, f"the name of tensor {index}")
    what = f"tensor {name!r}"
    dimensions = cursor.u32(f"the dimensions of {what}")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise GGUFError(f"{what} has {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are allowed")
    shape = tuple(cursor.u64(f"the shape of {what}") for _ in range(dimensions))[::-1]
    kind = cursor.u32(f"the type of {what}")
    offset = cursor.u64(f"the offset of {what}")
    if 0 in shape:
        raise GGUFError(f"{what} has the shape {shape}; no dimension may be 0")
    if kind not in TENSOR_LAYOUTS:
        raise GGUFError(f"{what} has the unknown type {kind}; is the file newer than homezoo?")
    layout = TENSOR_LAYOUTS[kind]
    if shape[-1] % layout.block_size:
        raise GGUFError(
            f"{what} has rows of {shape[-1]} elements, but {layout.name} needs a multiple of "
            f"{layout.block_size}"
        )
    if offset % alignment:
        raise GGUFError(f"{what} has the offset {offset}, no multiple of {alignment}")
    row_bytes = shape[-1] // layout.block_size * layout.block_bytes
    rows = 1
    for dimension in shape[:-1]:
        rows *= dimension
    return TensorEntry(name, kind, shape, offset, row_bytes, rows * row_bytes)


def _check_places(tensors: list[TensorEntry], file_size: int) -> None:
    """No name twice; every tensor inside the file, and none upon another."""
    names: set[str] = set()
    for entry in tensors:
        if entry.name in names:
            raise GGUFError(f"tensor {entry.name!r} appears twice")
        names.add(entry.name)
        if entry.offset + entry.size > file_size:
            raise GGUFError(
                f"tensor {entry.name!r} of shape {entry.shape} ends at byte "
                f"{entry.offset + entry.size}, but the file ends at {file_size}; it is cut or "
                "damaged, download it again"
            )
    ordered = sorted(tensors, key=lambda entry: entry.offset)
    for first, second in pairwise(ordered):
        if first.offset + first.size > second.offset:
            raise GGUFError(f"tensors {first.name!r} and {second.name!r} overlap")
