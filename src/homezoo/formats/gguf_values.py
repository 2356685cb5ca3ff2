"""Metadata values that stay in the mapped file until asked for: long strings, string arrays."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from homezoo.formats.gguf_types import ValueType

LENGTH_BYTES = 8  # a string is its length as uint64, then its UTF-8 bytes


class LongString:
    """A string left undecoded in the file; `decode` gives it. The bytes are checked UTF-8."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def decode(self) -> str:
        """The string."""
        return str(self._data, "utf-8")


class StringArray(Sequence[str]):
    """The strings of an array, decoded when asked for; equal to a list of the same strings."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: memoryview, starts: np.ndarray) -> None:
        """`starts`: int64 [n + 1], where each string's length lies in `data`, and the end."""
        self._data = data
        self._starts = starts  # int64 [n + 1]

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"string {index} of an array of {len(self)}")
        first, last = int(self._starts[index]) + LENGTH_BYTES, int(self._starts[index + 1])
        return str(self._data[first:last], "utf-8")

    def __iter__(self) -> Iterator[str]:
        data, position = self._data, int(self._starts[0])
        for next_position in self._starts[1:].tolist():
            yield str(data[position + LENGTH_BYTES : next_position], "utf-8")
            position = next_position

    def tolist(self) -> list[str]:
        """All strings, decoded in one go: several times as fast as one by one."""
        begin = int(self._starts[0])
        text = np.frombuffer(self._data[begin : int(self._starts[-1])], np.uint8).copy()
        for byte in range(LENGTH_BYTES):  # the lengths, overwritten, are what divides the strings
            text[self._starts[:-1] - begin + byte] = 0
        if np.count_nonzero(text == 0) != LENGTH_BYTES * len(self):
            return list(self)  # some string has zeros of its own
        return str(text.data, "utf-8").split("\0" * LENGTH_BYTES)[1:]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (list, tuple, StringArray)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __repr__(self) -> str:
        shown = ", ".join(repr(text) for text in self[:3])
        return f"[{shown}, ... {len(self)} strings]" if len(self) > 3 else f"[{shown}]"


class Metadata(Mapping[str, Any]):
    """Keys to int, float, bool, str, StringArray or read-only NumPy array, in the file's order."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._types: dict[str, tuple[ValueType, ValueType | None]] = {}

    def insert(
        self, key: str, value: object, type: ValueType, item_type: ValueType | None = None
    ) -> None:
        """Add a value that was read; `item_type` is the type of an array's items."""
        self._values[key] = value
        self._types[key] = (type, item_type)

    def type_of(self, key: str) -> tuple[ValueType, ValueType | None]:
        """Value type of a key, and the type of its items if it is an array; KeyError."""
        return self._types[key]

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        return value.decode() if isinstance(value, LongString) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Metadata({', '.join(self._values)})"
