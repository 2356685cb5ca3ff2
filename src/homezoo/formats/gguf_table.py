"""Reads the tensor table of a GGUF header and checks that every tensor has a sound place."""

from itertools import pairwise
from typing import NamedTuple

from homezoo.errors import GGUFError
from homezoo.formats.gguf_cursor import Cursor, shown
from homezoo.formats.gguf_types import MAX_DIMENSIONS, MAX_NAME_BYTES, TENSOR_LAYOUTS


class TensorEntry(NamedTuple):
    """One line of the tensor table."""

    name: str
    type: int
    shape: tuple[int, ...]  # row-major: the reverse of the file's order
    offset: int  # from the start of the tensor data
    row_bytes: int
    size: int  # bytes


def read_table(cursor: Cursor, count: int, alignment: int) -> list[TensorEntry]:
    """Read `count` lines; GGUFError with the tensor's name for an unsound one."""
    table = [_read_entry(cursor, index, alignment) for index in range(count)]
    names: set[str] = set()
    for entry in table:
        if entry.name in names:
            raise GGUFError(f"tensor {shown(entry.name)} appears twice")
        names.add(entry.name)
    return table


def _read_entry(cursor: Cursor, index: int, alignment: int) -> TensorEntry:
    name = cursor.name(MAX_NAME_BYTES, f"the name of tensor {index}")
    what = f"tensor {shown(name)}"
    dimensions = cursor.u32(f"the number of dimensions of {what}")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise GGUFError(f"{what} has {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are allowed")
    shape = tuple([cursor.u64(f"the shape of {what}") for _ in range(dimensions)][::-1])
    type = cursor.u32(f"the type of {what}")
    offset = cursor.u64(f"the offset of {what}")
    if 0 in shape:
        raise GGUFError(f"{what} has the shape {shape}; no dimension may be 0")
    if type not in TENSOR_LAYOUTS:
        raise GGUFError(f"{what} has the unknown type {type}; it is damaged, or too new")
    layout = TENSOR_LAYOUTS[type]
    if shape[-1] % layout.block_size:
        raise GGUFError(
            f"{what} has rows of {shape[-1]} elements, but {layout.name} needs a multiple of "
            f"{layout.block_size}"
        )
    if offset % alignment:
        raise GGUFError(f"{what} has the misaligned offset {offset}, no multiple of {alignment}")
    row_bytes = shape[-1] // layout.block_size * layout.block_bytes
    size = row_bytes
    for dimension in shape[:-1]:
        size *= dimension
    return TensorEntry(name, type, shape, offset, row_bytes, size)


def check_places(table: list[TensorEntry], room: int) -> None:
    """GGUFError if a tensor leaves the `room` bytes of tensor data, or lies upon another."""
    for entry in table:
        if entry.offset + entry.size > room:
            raise GGUFError(
                f"tensor {shown(entry.name)} of shape {entry.shape} takes {entry.size} bytes at "
                f"{entry.offset} of the tensor data, but the file has only {max(room, 0)} of them; "
                "it is cut or damaged, download it again"
            )
    for first, second in pairwise(sorted(table, key=lambda entry: entry.offset)):
        if first.offset + first.size > second.offset:
            raise GGUFError(
                f"tensors {shown(first.name)} and {shown(second.name)} overlap at "
                f"{second.offset} of the tensor data"
            )
