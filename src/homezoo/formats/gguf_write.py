"""Writes GGUF files: metadata and tensor table first, then the data as it comes, then a rename.

The file appears under its name only when it is whole and on the disk.
"""

import os
import secrets
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from homezoo.errors import GGUFError
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_cursor import shown
from homezoo.formats.gguf_encode import encode_string, encode_value
from homezoo.formats.gguf_types import (
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_ALIGNMENT,
    MAX_DIMENSIONS,
    MAX_KEY_BYTES,
    ValueType,
)
from homezoo.formats.gguf_values import Metadata
from homezoo.formats.tensor import Tensor

_HEAD = Struct("<4sIQQ")  # magic, version, tensors, keys
_VERSION = 3
_MAX_NAME_BYTES = 63  # of a tensor: llama.cpp keeps names in 64 bytes with a zero at the end


class _Place:
    """A declared tensor: where its bytes go (from the start of the data) and how many came."""

    def __init__(self, type: BlockType, shape: tuple[int, ...], offset: int) -> None:
        self.type = type
        self.shape = shape
        self.offset = offset
        rows = 1
        for dimension in shape[:-1]:
            rows *= dimension
        self.size = rows * type.row_bytes(shape[-1])
        self.written = 0


class GGUFWriter:
    """Streams one GGUF version 3 file, little-endian; used as a context manager.

    `add` metadata and `declare` tensors, then `write` the data of each, in any order and in pieces
    if need be. Leaving the `with` block finishes the file; an exception in it leaves nothing, and
    a file that was there before stays as it was. Raises GGUFError for all that cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        # In the same folder, because a rename is atomic only within one file system.
        self._temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        self._metadata: dict[str, bytes] = {}
        self._places: dict[str, _Place] = {}
        self._alignment = DEFAULT_ALIGNMENT
        self._end = 0  # of the data declared so far, from the start of the data
        self._data_start: int | None = None  # known once the header is written
        try:
            self._file: BinaryIO = self._temporary.open("xb")
        except OSError as error:
            raise GGUFError(f"{self.path} cannot be written: {error.strerror or error}") from None

    def add(
        self,
        key: str,
        value: Any,
        type: ValueType | None = None,
        item_type: ValueType | None = None,
    ) -> None:
        """Add one metadata value; `encode_value` says which type it gets when none is given."""
        self._expect_header_open(f"key {key!r}")
        _check_name(key, MAX_KEY_BYTES, "key")
        if key in self._metadata:
            raise GGUFError(f"key {key!r} was added twice")
        if key == "general.alignment":
            self._set_alignment(value)
            type = ValueType.UINT32
        self._metadata[key] = encode_value(key, value, type, item_type)

    def copy_metadata(self, metadata: Metadata, skip: Collection[str] = ()) -> None:
        """Add all keys of a file that was read, with their types, but those in `skip`.

        Keys about a split (`split.*`) are never copied: what is written is whole.
        """
        for key, value in metadata.items():
            if key not in skip and not key.startswith("split."):
                self.add(key, value, *metadata.type_of(key))

    def declare(self, name: str, type: BlockType, shape: Iterable[int]) -> None:
        """Announce a tensor of row-major `shape`; its data may follow once all are declared."""
        self._expect_header_open(f"tensor {name!r}")
        shape = tuple(int(dimension) for dimension in shape)
        if name in self._places:
            raise GGUFError(f"tensor {name!r} was declared twice")
        _check_name(name, _MAX_NAME_BYTES, "tensor name")
        if not 1 <= len(shape) <= MAX_DIMENSIONS or min(shape) < 1:
            raise GGUFError(f"tensor {name!r} has the shape {shape}; 1 to 4 dimensions above 0")
        if shape[-1] % type.block_size:
            raise GGUFError(
                f"tensor {name!r} has rows of {shape[-1]} elements, but {type.name} needs a "
                f"multiple of {type.block_size}"
            )
        place = _Place(type, shape, self._end)
        self._places[name] = place
        self._end = self._aligned(place.offset + place.size)

    def write(self, name: str, data: np.ndarray | bytes | memoryview) -> None:
        """Write a tensor's next bytes: all of them, or one piece after the other.

        An array must be uint8 blocks, or float32 for F32, or float16 for F16.
        """
        if name not in self._places:
            raise GGUFError(f"tensor {name!r} was not declared")
        place = self._places[name]
        if isinstance(data, np.ndarray):
            raw = _block_bytes(name, place.type, data)
        else:
            raw = memoryview(data).cast("B")
        size = len(raw)
        if place.written + size > place.size:
            raise GGUFError(f"tensor {name!r} takes {place.size} bytes, not {place.written + size}")
        try:
            data_start = self._write_header()
            self._file.seek(data_start + place.offset + place.written)
            self._file.write(raw)
        except OSError as error:
            raise GGUFError(f"{self.path} cannot be written: {error.strerror or error}") from None
        place.written += size

    def write_tensors(self, tensors: Collection[Tensor]) -> None:
        """Declare and write tensors that were read or made, in their order."""
        for tensor in tensors:
            self.declare(tensor.name, tensor.type, tensor.shape)
        for tensor in tensors:
            self.write(tensor.name, tensor.data)

    def finish(self) -> None:
        """Put the whole file on the disk under its name. Called on leaving the `with` block."""
        for name, place in self._places.items():
            if place.written != place.size:
                raise GGUFError(f"tensor {name!r} got {place.written} of {place.size} bytes")
        try:
            data_start = self._write_header()
            self._file.truncate(data_start + self._end)  # pads the last tensor with zeros
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise GGUFError(f"{self.path} cannot be written: {error.strerror or error}") from None

    def discard(self) -> None:
        """Leave nothing behind. Called when an exception leaves the `with` block."""
        with suppress(OSError):  # closing flushes, onto a full disk perhaps; it goes anyway
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> "GGUFWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            self.discard()

    def _expect_header_open(self, what: str) -> None:
        if self._data_start is not None:
            raise GGUFError(f"{what} comes too late: tensor data have been written already")

    def _set_alignment(self, value: Any) -> None:
        if self._places:
            raise GGUFError("general.alignment comes too late: a tensor has been declared already")
        if not isinstance(value, int) or value < 1 or value & (value - 1) or value > MAX_ALIGNMENT:
            raise GGUFError(
                f"general.alignment is {value!r}; it must be a power of two up to {MAX_ALIGNMENT}"
            )
        self._alignment = value

    def _aligned(self, position: int) -> int:
        return -(-position // self._alignment) * self._alignment

    def _write_header(self) -> int:
        """Write the header unless that is done; gives where the tensor data begin."""
        if self._data_start is not None:
            return self._data_start
        self._file.write(_HEAD.pack(MAGIC, _VERSION, len(self._places), len(self._metadata)))
        for key, value in self._metadata.items():
            self._file.write(encode_string(key) + value)
        for name, place in self._places.items():
            dimensions = Struct(f"<I{len(place.shape)}QIQ").pack(
                len(place.shape), *reversed(place.shape), place.type, place.offset
            )
            self._file.write(encode_string(name) + dimensions)
        self._data_start = self._aligned(self._file.tell())
        return self._data_start


def _block_bytes(name: str, type: BlockType, data: np.ndarray) -> memoryview:
    """The array's bytes, after a check that its dtype is that of the blocks."""
    floats = {BlockType.F32: np.dtype("<f4"), BlockType.F16: np.dtype("<f2")}
    if data.dtype != np.uint8 and data.dtype != floats.get(type):
        raise GGUFError(f"tensor {name!r} is {type.name}, its data are {data.dtype}")
    raw: memoryview = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
    return raw


def _check_name(name: str, limit: int, what: str) -> None:
    """GGUFError unless the name is text of 1 to `limit` bytes."""
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise GGUFError(f"{what} {shown(name)} is not valid Unicode: {error.reason}") from None
    if not 0 < size <= limit:
        raise GGUFError(f"{what} {shown(name)} is {size} bytes long; 1 to {limit} are allowed")


def _sync_folder(folder: Path) -> None:
    """Make the rename last through a power cut, where the system has a way to ask for it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems refuse; the file itself is safe
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
