"""Split GGUF files: the names of the parts, and whether a part is what its name says."""

import re
from pathlib import Path

from homezoo.errors import GGUFError
from homezoo.formats.gguf_header import Header
from homezoo.formats.gguf_types import ValueType

_PART_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.[^.]+)?")


_INTEGERS = frozenset(
    {
        ValueType.UINT8,
        ValueType.INT8,
        ValueType.UINT16,
        ValueType.INT16,
        ValueType.UINT32,
        ValueType.INT32,
        ValueType.UINT64,
        ValueType.INT64,
    }
)


def _count(path: Path, header: Header, key: str) -> int | None:
    """The value of one of the `split.*` keys, None if absent; GGUFError unless it is a count."""
    if key not in header.metadata:
        return None
    type, _ = header.metadata.type_of(key)
    if type not in _INTEGERS:
        raise GGUFError(f"{path}: {key} is of type {type.name} instead of an integer")
    found = int(header.metadata[key])
    if found < 0:
        raise GGUFError(f"{path}: {key} is {found}; it must not be negative")
    return found


def part_paths(path: Path, header: Header) -> list[Path]:
    """Paths of all parts of the file that `path` is one of; just itself if it is not split."""
    count = _count(path, header, "split.count")
    if count is None or count <= 1:
        return [path]
    name = _PART_NAME.fullmatch(path.name)
    if name is None or int(name["count"]) != count:
        raise GGUFError(
            f"{path} is one of {count} parts, but its name does not end in "
            f"-00001-of-{count:05}.gguf; give the parts their original names"
        )
    suffix = name["suffix"] or ""
    paths = [
        path.with_name(f"{name['stem']}-{number:05}-of-{count:05}{suffix}")
        for number in range(1, count + 1)
    ]
    for part in paths:
        if not part.exists():
            raise GGUFError(f"{part} is missing; all {count} parts must lie in one folder")
    return paths


def check_part(path: Path, header: Header, number: int, count: int) -> None:
    """Raise GGUFError unless the header is that of part `number` (from 0) of `count`."""
    for key, expected in (("split.no", number), ("split.count", count)):
        found = _count(path, header, key)
        if found != expected:
            raise GGUFError(f"{path}: {key} is {found}, expected {expected}; parts were mixed up")


def check_total(path: Path, header: Header, found: int) -> None:
    """Raise GGUFError unless all parts together hold as many tensors as the first one says."""
    expected = _count(path, header, "split.tensors.count")
    if expected != found:
        raise GGUFError(f"{path}: split.tensors.count is {expected}, the parts hold {found}")
