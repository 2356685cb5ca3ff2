"""Reads the header of one GGUF file: metadata and tensor table, every number checked before use.

Layout: magic, version, tensor count, key count; the keys and values; the tensor table; padding to
the alignment; the tensors' bytes. Source: github.com/ggml-org/ggml, docs/gguf.md.
"""

from dataclasses import dataclass
from pathlib import Path

from homezoo.errors import GGUFError
from homezoo.formats.gguf_cursor import Budget, Cursor
from homezoo.formats.gguf_kind import describe_kind
from homezoo.formats.gguf_metadata import read_metadata
from homezoo.formats.gguf_table import TensorEntry, check_places, read_table
from homezoo.formats.gguf_types import (
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_ALIGNMENT,
    VERSIONS,
    ValueType,
)
from homezoo.formats.gguf_values import Metadata

_KIND_BYTES = 256  # of a file's beginning that tell what else it is
_LEAST_KEY_BYTES = 14  # length, one character, type, a value of one byte
_LEAST_ENTRY_BYTES = 33  # length, one character, dimensions, one of them, type, offset


@dataclass(frozen=True)
class Header:
    """What a header says, checked against the size of its file."""

    version: int
    alignment: int
    metadata: Metadata
    tensors: list[TensorEntry]
    data_start: int  # byte of the file from which tensor offsets count


def read_header(
    data: memoryview, path: Path, budget: Budget, file_bytes: int | None = None
) -> Header:
    """Parse and check the header in the bytes of a whole file, or in the first of `file_bytes`.

    Raises GGUFError, which begins with `path` and says what is wrong where, for any unsound file.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise GGUFError(f"{path} {describe_kind(bytes(data[:_KIND_BYTES]))}")
    cursor = Cursor(data, budget)
    try:
        return _read_checked(cursor, len(data) if file_bytes is None else file_bytes)
    except GGUFError as error:
        raise GGUFError(f"{path}: {error}") from None


def _read_checked(cursor: Cursor, file_bytes: int) -> Header:
    cursor.skip(len(MAGIC), "the magic")
    version = cursor.u32("the version")
    if version not in VERSIONS:
        if version and version & 0xFFFF == 0:
            raise GGUFError("is a big-endian GGUF file; get the little-endian one")
        raise GGUFError(f"is of GGUF version {version}; homezoo reads versions 2 and 3")
    tensor_count = cursor.u64("the tensor count")
    key_count = cursor.u64("the key count")
    for count, least, what in (
        (key_count, _LEAST_KEY_BYTES, "keys"),
        (tensor_count, _LEAST_ENTRY_BYTES, "tensors"),
    ):
        if count * least > cursor.left:
            raise GGUFError(
                f"claims {count} {what}, more than fit into its {len(cursor.data)} bytes"
            )
    metadata = read_metadata(cursor, key_count)
    alignment = _alignment(metadata)
    table = read_table(cursor, tensor_count, alignment)
    data_start = -(-cursor.position // alignment) * alignment
    check_places(table, file_bytes - data_start)
    return Header(version, alignment, metadata, table, data_start)


def _alignment(metadata: Metadata) -> int:
    key = "general.alignment"
    if key not in metadata:
        return DEFAULT_ALIGNMENT
    type, _ = metadata.type_of(key)
    if type is not ValueType.UINT32:
        raise GGUFError(f"{key} is of type {type.name} instead of UINT32")
    found = int(metadata[key])
    if not 0 < found <= MAX_ALIGNMENT or found & (found - 1):
        raise GGUFError(f"{key} is {found}; it must be a power of two up to {MAX_ALIGNMENT}")
    return found
