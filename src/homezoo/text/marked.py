"""Text that remembers which of its characters came from outside the template.

A template mixes its own words with those of users, tools and documents. Only its own may form
control tokens, so every character is marked, and every way of taking text apart or joining it
keeps the marks. Where that cannot be done exactly, the whole result counts as from outside.
"""

from collections.abc import Iterable, Iterator, Mapping, MappingView
from typing import Any, SupportsIndex

# Everything that a template can put values into.
CONTAINERS = (list, tuple, set, frozenset, Mapping, MappingView)

OWN, OUTSIDE = b"\x00", b"\x01"


class MarkedText(str):
    """A string with a mark per character: `marks[i]` is 1 where character i came from outside."""

    __slots__ = ("marks",)
    marks: bytes

    def __new__(cls, text: str, marks: bytes | None = None) -> "MarkedText":
        """Without `marks` all of it is from outside."""
        self = super().__new__(cls, text)
        self.marks = OUTSIDE * len(self) if marks is None else marks
        return self

    def __str__(self) -> str:
        return self

    def __getitem__(self, key: SupportsIndex | slice) -> "MarkedText":
        key = key if isinstance(key, slice) else _as_slice(key, len(self))
        return MarkedText(str.__getitem__(self, key), self.marks[key])

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def __add__(self, other: str) -> "MarkedText":
        if not isinstance(other, str):
            return NotImplemented
        return MarkedText(str.__add__(self, other), self.marks + marks_of(other))

    def __radd__(self, other: str) -> "MarkedText":
        if not isinstance(other, str):
            return NotImplemented
        return MarkedText(str.__add__(other, self), marks_of(other) + self.marks)

    def __mul__(self, count: SupportsIndex) -> "MarkedText":
        return MarkedText(str.__mul__(self, count), self.marks * count)

    __rmul__ = __mul__

    def _parts(self, parts: Iterable[str], separator: int | None) -> list[str]:
        """Parts that stand in this text in order; `separator` characters apart, or find them."""
        cut: list[str] = []
        at = 0
        for part in parts:
            start = str.find(self, part, at) if separator is None else at
            cut.append(self[start : start + len(part)])
            at = start + len(part) + (separator or 0)
        return cut

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._parts(str.split(self, sep, maxsplit), None if sep is None else len(sep))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._parts(str.rsplit(self, sep, maxsplit), None if sep is None else len(sep))

    def splitlines(self, keepends: bool = False) -> list[str]:
        whole = self._parts(str.splitlines(self, True), 0)
        bare = str.splitlines(self, keepends)
        return [line[: len(text)] for line, text in zip(whole, bare, strict=True)]

    def partition(self, sep: str) -> tuple[str, str, str]:
        before, found, after = self._parts(str.partition(self, sep), 0)
        return before, found, after

    def rpartition(self, sep: str) -> tuple[str, str, str]:
        before, found, after = self._parts(str.rpartition(self, sep), 0)
        return before, found, after

    def lstrip(self, chars: str | None = None) -> str:
        return self[len(self) - len(str.lstrip(self, chars)) :]

    def rstrip(self, chars: str | None = None) -> str:
        return self[: len(str.rstrip(self, chars))]

    def strip(self, chars: str | None = None) -> str:
        return self[: len(str.rstrip(self, chars))].lstrip(chars)

    def removeprefix(self, prefix: str) -> str:
        return self[len(self) - len(str.removeprefix(self, prefix)) :]

    def removesuffix(self, suffix: str) -> str:
        return self[: len(str.removesuffix(self, suffix))]

    def _same_places(self, text: str) -> str:
        """`text` with these marks, if every character has kept its place."""
        return MarkedText(text, self.marks if len(text) == len(self) else None)

    def lower(self) -> str:
        return self._same_places(str.lower(self))

    def upper(self) -> str:
        return self._same_places(str.upper(self))

    def title(self) -> str:
        return self._same_places(str.title(self))

    def capitalize(self) -> str:
        return self._same_places(str.capitalize(self))

    def swapcase(self) -> str:
        return self._same_places(str.swapcase(self))

    def replace(self, old: str, new: str, count: SupportsIndex = -1) -> str:
        if not old:
            return MarkedText(str.replace(self, old, new, count))
        return join_text(new, self.split(old, count))

    def join(self, parts: Iterable[str]) -> str:
        return join_text(self, parts)


def _as_slice(index: SupportsIndex, length: int) -> slice:
    start = range(length)[index]  # IndexError as for any string
    return slice(start, start + 1)


def marks_of(text: str) -> bytes:
    """A mark per character; plain text is the template's own."""
    return text.marks if isinstance(text, MarkedText) else OWN * len(text)


def join_text(separator: str, parts: Iterable[str]) -> str:
    """`separator.join(parts)` that keeps the marks."""
    parts = list(parts)
    text = str.join(separator, parts)
    if type(separator) is str and all(type(part) is str for part in parts):
        return text
    return MarkedText(text, marks_of(separator).join([marks_of(part) for part in parts]))


def substitute(render: Any, texts: list[str]) -> str:
    """`render(texts)`, which puts texts into a pattern of the template's own, with its marks.

    Each text is replaced by a stand-in that nobody writes, to see where it lands.
    """
    plain = str.__str__(render(texts))
    stand_ins = [f"\U0010fffe{index}\U0010ffff" for index in range(len(texts))]
    pieces: list[str] = [render(stand_ins)]
    for text, stand_in in zip(texts, stand_ins, strict=True):
        pieces = [
            part
            for piece in pieces
            for part in (_between(piece, stand_in, text) if type(piece) is str else [piece])
        ]
    marked = join_text("", pieces)
    return marked if marked == plain else MarkedText(plain)


def _between(piece: str, stand_in: str, text: str) -> list[str]:
    parts = piece.split(stand_in)
    placed = text if isinstance(text, MarkedText) else MarkedText(text, OWN * len(text))
    return [parts[0], *(part for rest in parts[1:] for part in (placed, rest))]


def contents(container: Any) -> Iterable[Any]:
    """What a value of one of the kinds in CONTAINERS holds, keys as well as values."""
    return container.items() if isinstance(container, Mapping) else container


def holds_marked(value: Any) -> bool:
    """Whether a value is, or holds at any depth, text from outside."""
    pending = [value]
    seen: dict[int, Any] = {}  # the values too: what is freed would give its id to another
    while pending:
        item = pending.pop()
        if isinstance(item, MarkedText):
            if any(item.marks):
                return True
        elif isinstance(item, CONTAINERS) and id(item) not in seen:
            seen[id(item)] = item
            pending.extend(contents(item))
    return False
