"""Metadata values to the bytes of a GGUF file, and the value type that a Python value gets."""

from collections.abc import Sequence
from struct import Struct
from typing import Any

import numpy as np

from homezoo.errors import GGUFError
from homezoo.formats.gguf_types import NUMBER_DTYPES, ValueType
from homezoo.formats.gguf_values import StringArray

_U32 = Struct("<I")
_U64 = Struct("<Q")
_BOOLS = (bool, np.bool_)
# What may become a number of a NumPy kind: NumPy kinds, and Python or NumPy classes.
_ALLOWED: dict[str, tuple[str, tuple[type, ...]]] = {
    "b": ("b", _BOOLS),
    "i": ("iu", (int, np.integer)),
    "u": ("iu", (int, np.integer)),
    "f": ("iuf", (int, float, np.integer, np.floating)),
}
_TYPES_OF_DTYPES = {dtype.newbyteorder("="): type for type, dtype in NUMBER_DTYPES.items()}


def encode_string(text: str) -> bytes:
    """Length as uint64, then UTF-8."""
    data = text.encode("utf-8")
    return _U64.pack(len(data)) + data


def encode_value(
    key: str, value: Any, type: ValueType | None, item_type: ValueType | None
) -> bytes:
    """Type and value as they follow the key. Types not given follow from the value.

    bool, str: BOOL, STRING. int: UINT32, INT32 if negative, else UINT64 or INT64. float: FLOAT32.
    In a list, int: INT32, else INT64; float: FLOAT32. NumPy numbers and arrays: their own type.
    These are the types that llama.cpp expects for its counts, epsilons and token lists.
    Raises GGUFError when a value does not fit its type.
    """
    if type is None:
        type = _type_of(key, value)
    if type is ValueType.ARRAY:
        return _U32.pack(type) + _encode_array(key, value, item_type)
    if item_type is not None:
        raise GGUFError(f"{key!r} is {type.name} and no array; it takes no item type")
    if type is ValueType.STRING:
        if not isinstance(value, str):
            raise GGUFError(f"{key!r} is {value!r} instead of a string")
        return _U32.pack(type) + _checked_string(key, value)
    if isinstance(value, (str, list, tuple, np.ndarray)):
        raise GGUFError(f"{key!r} is {value!r} instead of one {type.name}")
    return _U32.pack(type) + _numbers(key, [value], type).tobytes()


def _checked_string(key: str, text: str) -> bytes:
    try:
        return encode_string(text)
    except UnicodeEncodeError as error:
        raise GGUFError(f"{key!r} is no valid Unicode text: {error.reason}") from None


def _type_of(key: str, value: Any) -> ValueType:
    if isinstance(value, _BOOLS):
        return ValueType.BOOL
    if isinstance(value, str):
        return ValueType.STRING
    if isinstance(value, (list, tuple, StringArray)):
        return ValueType.ARRAY
    if isinstance(value, np.ndarray):
        return ValueType.ARRAY
    if isinstance(value, int):
        candidates = (ValueType.UINT32, ValueType.INT32, ValueType.UINT64, ValueType.INT64)
        return _first_that_fits(key, [value], candidates)
    if isinstance(value, np.number):
        return _type_of_dtype(key, value.dtype)
    if isinstance(value, float):
        return ValueType.FLOAT32
    raise GGUFError(f"{key!r} is a {type(value).__name__}; GGUF metadata cannot hold that")


def _first_that_fits(
    key: str, values: Sequence[int], candidates: tuple[ValueType, ...]
) -> ValueType:
    for candidate in candidates:
        limits = np.iinfo(NUMBER_DTYPES[candidate])
        if limits.min <= min(values) and max(values) <= limits.max:
            return candidate
    raise GGUFError(f"{key!r} holds {min(values)} to {max(values)}, more than 64 bits")


def _type_of_dtype(key: str, dtype: np.dtype) -> ValueType:
    found = _TYPES_OF_DTYPES.get(dtype.newbyteorder("="))
    if found is None:
        raise GGUFError(f"{key!r} is of NumPy type {dtype}; GGUF metadata cannot hold that")
    return found


def _encode_array(key: str, values: Any, item_type: ValueType | None) -> bytes:
    """Item type, count, items."""
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise GGUFError(f"{key!r} has {values.ndim} dimensions; arrays in GGUF metadata have 1")
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        raise GGUFError(f"{key!r} is {values!r} instead of an array")
    if item_type is None:
        item_type = _item_type_of(key, values)
    head = _U32.pack(item_type) + _U64.pack(len(values))
    if item_type is ValueType.STRING:
        for text in values:
            if not isinstance(text, str):
                raise GGUFError(f"{key!r} holds {text!r} instead of a string")
        return head + b"".join([_checked_string(key, text) for text in values])
    if item_type is ValueType.ARRAY:
        raise GGUFError(f"{key!r} holds arrays; nested arrays are not supported")
    return head + _numbers(key, values, item_type).tobytes()


def _item_type_of(key: str, values: Any) -> ValueType:
    if isinstance(values, np.ndarray):
        return _type_of_dtype(key, values.dtype)
    if isinstance(values, StringArray):
        return ValueType.STRING
    if not values:
        raise GGUFError(f"{key!r} is empty; give the type of its items")
    if all(isinstance(value, str) for value in values):
        return ValueType.STRING
    if all(isinstance(value, bool) for value in values):
        return ValueType.BOOL
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return _first_that_fits(key, values, (ValueType.INT32, ValueType.INT64, ValueType.UINT64))
    if all(isinstance(value, float) for value in values):
        return ValueType.FLOAT32
    raise GGUFError(f"{key!r} mixes types or holds what GGUF metadata cannot; give one type")


def _numbers(key: str, values: Any, type: ValueType) -> np.ndarray:
    """The values as a 1-D array of the type's dtype; GGUFError when one does not fit."""
    dtype = NUMBER_DTYPES[type]
    is_array = isinstance(values, np.ndarray)
    _check_classes(key, values, type)
    if is_array and values.dtype == dtype:
        return np.ascontiguousarray(values)
    if dtype.kind in "iu" and len(values):
        limits = np.iinfo(dtype)
        low, high = (values.min(), values.max()) if is_array else (min(values), max(values))
        if low < limits.min or high > limits.max:
            raise GGUFError(f"{key!r} holds {low} to {high}, which does not fit {type.name}")
    if dtype.kind != "f":
        return np.array(values, dtype=dtype)
    try:
        exact = np.array(values, dtype=np.float64)
    except OverflowError:
        raise GGUFError(f"{key!r} holds an integer too large for {type.name}") from None
    with np.errstate(over="ignore"):
        out = exact.astype(dtype)
    if np.any(np.isinf(out) & np.isfinite(exact)):
        raise GGUFError(f"{key!r} holds {np.abs(exact).max()}, which does not fit {type.name}")
    return out


def _check_classes(key: str, values: Any, type: ValueType) -> None:
    """GGUFError unless the values are of classes, or the array of a kind, that fit `type`."""
    kind = NUMBER_DTYPES[type].kind
    kinds, classes = _ALLOWED[kind]
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in kinds:
            raise GGUFError(f"{key!r} holds {values.dtype} instead of {type.name}")
        return
    for value in values:
        if not isinstance(value, classes) or isinstance(value, _BOOLS) != (kind == "b"):
            raise GGUFError(f"{key!r} is or holds {value!r} instead of {type.name}")
