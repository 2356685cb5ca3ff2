"""Reads the keys and values of a GGUF header; long strings and large arrays stay in the file."""

import numpy as np

from homezoo.errors import GGUFError
from homezoo.formats.gguf_cursor import Cursor, shown
from homezoo.formats.gguf_strings import check_utf8, find_strings
from homezoo.formats.gguf_types import MAX_KEY_BYTES, NUMBER_DTYPES, ValueType
from homezoo.formats.gguf_values import LENGTH_BYTES, LongString, Metadata, StringArray

# From here on values stay in the file (one page of memory): strings are decoded when asked for,
# number arrays are views.
_LARGE_BYTES = 4096
_SCAN_CHUNK = 1 << 20  # bytes compared in one go, to bound the memory


def read_metadata(cursor: Cursor, count: int) -> Metadata:
    """Read `count` keys with their values. Raises GGUFError with the key and the value."""
    metadata = Metadata()
    for index in range(count):
        key = cursor.name(MAX_KEY_BYTES, f"key {index}")
        what = f"key {shown(key)}"
        if key in metadata:
            raise GGUFError(f"{what} appears twice")
        type = cursor.value_type(what)
        if type is ValueType.ARRAY:
            item_type = cursor.value_type(f"the items of {what}")
            metadata.insert(key, _read_array(cursor, item_type, what), type, item_type)
        elif type is ValueType.STRING:
            metadata.insert(key, _read_string(cursor, what), type)
        else:
            value = cursor.number(type, f"the value of {what}")
            if type is ValueType.BOOL:
                if value > 1:
                    raise GGUFError(f"{what} is a bool, but its byte is {value} instead of 0 or 1")
                value = bool(value)
            metadata.insert(key, value, type)
    return metadata


def _read_string(cursor: Cursor, what: str) -> str | LongString:
    length = cursor.u64(f"the length of {what}")
    if length <= _LARGE_BYTES:
        return cursor.text(length, what)
    start = cursor.skip(length, f"the value of {what}")
    cursor.budget.scan(length, what)
    starts = np.array([start - LENGTH_BYTES, cursor.position], dtype=np.int64)
    check_utf8(cursor.data, starts, what)
    return LongString(cursor.data[start : cursor.position])


def _read_array(cursor: Cursor, type: ValueType, what: str) -> StringArray | np.ndarray:
    count = cursor.u64(f"the length of {what}")
    if type is ValueType.ARRAY:
        raise GGUFError(f"{what} is an array of {count} arrays; nested arrays are not supported")
    item_bytes = LENGTH_BYTES if type is ValueType.STRING else NUMBER_DTYPES[type].itemsize
    if count * item_bytes > cursor.left:
        raise GGUFError(
            f"{what} claims {count} items of type {type.name}, but only {cursor.left} bytes are "
            "left in the file"
        )
    if type is ValueType.STRING:
        return _read_strings(cursor, count, what)
    start = cursor.skip(count * item_bytes, f"the value of {what}")
    if type is ValueType.BOOL:
        cursor.budget.scan(count, what)
        _check_bools(np.frombuffer(cursor.data, np.uint8, count, start), what)
    array = np.frombuffer(cursor.data, NUMBER_DTYPES[type], count, start)
    if array.nbytes <= _LARGE_BYTES:
        cursor.budget.hold(array.nbytes, what)
        array = array.copy()
        array.flags.writeable = False
    return array


def _read_strings(cursor: Cursor, count: int, what: str) -> StringArray:
    cursor.budget.hold((count + 1) * 8, what)
    starts = find_strings(cursor.data, cursor.position, count, what)  # int64 [count + 1]
    end = int(starts[-1])
    cursor.budget.scan(end - cursor.position, what)
    check_utf8(cursor.data, starts, what)
    cursor.position = end
    return StringArray(cursor.data, starts)


def _check_bools(raw: np.ndarray, what: str) -> None:
    """GGUFError unless all bytes, uint8 [n], are 0 or 1."""
    for start in range(0, len(raw), _SCAN_CHUNK):
        bad = np.flatnonzero(raw[start : start + _SCAN_CHUNK] > 1)
        if len(bad):
            index = start + int(bad[0])
            raise GGUFError(f"item {index} of {what} is a bool, but its byte is {raw[index]}")
