"""Finds the strings of an array in a mapped file and proves them UTF-8, without keeping them."""

from codecs import getincrementaldecoder
from struct import Struct

import numpy as np

from homezoo.errors import GGUFError
from homezoo.formats.gguf_values import LENGTH_BYTES

_LENGTH = Struct("<Q")
_SLICE = 1 << 20  # bytes looked at in one go: bounds the memory, and fits the cache of most CPUs


def find_strings(data: memoryview, position: int, count: int, what: str) -> np.ndarray:
    """Where `count` strings begin, each a uint64 length and its bytes: int64 [count + 1] with the end.

    `what` names the array in errors. Raises GGUFError when a string leaves `data`.
    """
    starts = np.empty(count + 1, dtype=np.int64)
    end, unpack = len(data), _LENGTH.unpack_from
    for index in range(count):
        starts[index] = position
        if position + LENGTH_BYTES > end:
            raise GGUFError(f"{what}[{index}] lies outside the file of {end} bytes")
        length = unpack(data, position)[0]
        if length > end - position - LENGTH_BYTES:
            raise GGUFError(
                f"{what}[{index}] claims {length} bytes, but only "
                f"{end - position - LENGTH_BYTES} are left in the file"
            )
        position += LENGTH_BYTES + length
    starts[count] = position
    return starts


def check_utf8(data: memoryview, starts: np.ndarray, what: str) -> None:
    """Raise GGUFError unless the strings at `starts`, int64 [n + 1] as of `find_strings`, are UTF-8.

    Strings are looked at many at once: with their lengths overwritten by zeros, which no character
    of several bytes may contain, the whole is UTF-8 exactly if every string is.
    """
    first = 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, starts[first] + _SLICE, side="right")) - 1
        last = max(last, first + 1)
        begin, end = int(starts[first]), int(starts[last])
        if end - begin > 2 * _SLICE:
            bad = _check_long(data[begin + LENGTH_BYTES : end])
        else:
            bad = _check_block(data[begin:end], starts[first:last] - begin)
        if bad is not None:
            index = int(np.searchsorted(starts, begin + bad, side="right")) - 1
            name = what if len(starts) == 2 else f"{what}[{index}]"
            raise GGUFError(f"{name} is not valid UTF-8 at byte {begin + bad} of the file")
        first = last


def _check_block(block: memoryview, starts: np.ndarray) -> int | None:
    """Where the first bad byte of some whole strings lies, or None."""
    text = np.frombuffer(block, dtype=np.uint8).copy()
    for byte in range(LENGTH_BYTES):
        text[starts + byte] = 0
    try:
        str(text.data, "utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


def _check_long(text: memoryview) -> int | None:
    """Where the first bad byte of one long string lies, counted from its length, or None."""
    decoder = getincrementaldecoder("utf-8")()
    for begin in range(0, len(text), _SLICE):
        part = text[begin : begin + _SLICE]
        try:
            decoder.decode(part, final=begin + _SLICE >= len(text))
        except UnicodeDecodeError:
            return LENGTH_BYTES + begin
    return None
