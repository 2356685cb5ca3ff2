"""Finds the strings of an array in a mapped file and proves them UTF-8, without keeping them."""

from array import array
from codecs import getincrementaldecoder
from struct import Struct

import numpy as np

from homezoo.errors import GGUFError
from homezoo.formats.gguf_values import LENGTH_BYTES

_LENGTH = Struct("<Q")
_SLICE = 1 << 20  # bytes looked at in one go: bounds the memory, and fits the cache of most CPUs


def find_strings(data: memoryview, position: int, count: int, what: str) -> np.ndarray:
    """Where `count` strings lie, each a uint64 length and its bytes: int64 [count + 1] with end.

    `what` names the array in errors. Raises GGUFError when a string leaves `data`.
    """
    starts = array("q", [position])
    append, unpack = starts.append, _LENGTH.unpack_from  # looked up once: this loop is the cost
    last = len(data) - LENGTH_BYTES  # of opening a large vocabulary
    for index in range(count):
        if position > last:
            raise GGUFError(f"item {index} of {what} lies outside the file; it is cut or damaged")
        length = unpack(data, position)[0]
        if length > last - position:
            raise GGUFError(
                f"item {index} of {what} claims {length} bytes, but only {last - position} are "
                "left in the file; it is cut or damaged"
            )
        position += LENGTH_BYTES + length
        append(position)
    return np.frombuffer(starts, dtype=np.int64)


def check_utf8(data: memoryview, starts: np.ndarray, what: str) -> None:
    """GGUFError unless the strings at `starts`, int64 [n + 1] as of `find_strings`, are UTF-8.

    Many are looked at in one go: with their lengths overwritten by zeros, which no character of
    several bytes may contain, the whole is UTF-8 exactly if every string is.
    """
    first = 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, starts[first] + _SLICE, side="right")) - 1
        last = max(last, first + 1)
        begin, end = int(starts[first]), int(starts[last])
        if end - begin > 2 * _SLICE:  # one long string, then
            bad = _bad_byte_of_long(data[begin + LENGTH_BYTES : end])
        else:
            bad = _bad_byte(data[begin:end], starts[first:last] - begin)
        if bad is not None:
            index = int(np.searchsorted(starts, begin + bad, side="right")) - 1
            name = what if len(starts) == 2 else f"item {index} of {what}"
            found = bytes(data[begin + bad : int(starts[index + 1])][:4])
            raise GGUFError(f"{name} is not valid UTF-8: {found!r}")
        first = last


def _bad_byte(strings: memoryview, starts: np.ndarray) -> int | None:
    """Where the first byte that is not UTF-8 lies in whole strings, their lengths left out."""
    text = np.frombuffer(strings, dtype=np.uint8).copy()
    for byte in range(LENGTH_BYTES):
        text[starts + byte] = 0
    try:
        str(text.data, "utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


def _bad_byte_of_long(text: memoryview) -> int | None:
    """Where a byte that is not UTF-8 lies, in slices; counted from the string's length."""
    decoder = getincrementaldecoder("utf-8")()
    for begin in range(0, len(text), _SLICE):
        kept = len(decoder.getstate()[0])  # bytes of a character that began in the last slice
        try:
            decoder.decode(text[begin : begin + _SLICE], final=begin + _SLICE >= len(text))
        except UnicodeDecodeError as error:
            return LENGTH_BYTES + begin - kept + error.start
    return None
