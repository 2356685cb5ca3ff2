"""Split GGUF files: the names of the parts, and whether a part is what its name says."""

import re
from pathlib import Path

from homezoo.errors import GGUFError
from homezoo.formats.gguf_header import Header

_PART_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.[^.]+)?")


def _integer(path: Path, header: Header, key: str) -> int | None:
    value = header.metadata.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise GGUFError(f"{path}: {key} is {value!r} instead of a count")
    return value


def part_paths(path: Path, header: Header) -> list[Path]:
    """Paths of all parts of the file that `path` is one of; just itself if it is not split."""
    count = _integer(path, header, "split.count")
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
        found = _integer(path, header, key)
        if found != expected:
            raise GGUFError(f"{path}: {key} is {found}, expected {expected}; parts were mixed up")


def check_total(path: Path, header: Header, found: int) -> None:
    """Raise GGUFError unless all parts together hold as many tensors as the first one says."""
    expected = _integer(path, header, "split.tensors.count")
    if expected != found:
        raise GGUFError(f"{path}: split.tensors.count is {expected}, the parts hold {found}")
