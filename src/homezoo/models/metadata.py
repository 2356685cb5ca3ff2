"""Checked reading of a model's numbers from GGUF metadata: an error names the key and the value."""

import math
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from homezoo.errors import GGUFError, UnsupportedError


class MetadataReader:
    """Reads `<architecture>.<key>` entries with their type and range checked."""

    def __init__(self, metadata: Mapping[str, Any], architecture: str) -> None:
        self.metadata = metadata
        self.architecture = architecture

    def full_key(self, key: str) -> str:
        """The key as it stands in the file."""
        return f"{self.architecture}.{key}"

    def integer(
        self, key: str, default: int | None = None, minimum: int = 1, maximum: int = 2**31 - 1
    ) -> int:
        """A whole number; a per-layer array is accepted when every layer has the same number.

        Raises GGUFError for a missing key without `default`, another type, or a value out of range;
        UnsupportedError when the layers differ.
        """
        value = self._value(key, default)
        if isinstance(value, (list, np.ndarray)):
            value = self._same_for_all_layers(key, value)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise GGUFError(
                f"{self.full_key(key)} is {reprlib.repr(value)}; expected a whole number"
            )
        if not minimum <= value <= maximum:
            raise GGUFError(f"{self.full_key(key)} is {value}; expected {minimum} to {maximum}")
        return int(value)

    def real(
        self, key: str, default: float | None = None, minimum: float = 0.0, open_end: bool = True
    ) -> float:
        """A finite number above `minimum` (or equal to it, unless `open_end`); raises GGUFError."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise GGUFError(f"{self.full_key(key)} is {reprlib.repr(value)}; expected a number")
        number = float(value)
        if not math.isfinite(number) or number < minimum or (open_end and number == minimum):
            bound = "above" if open_end else "at least"
            raise GGUFError(
                f"{self.full_key(key)} is {number}; expected a finite number {bound} {minimum:g}"
            )
        return number

    def text(self, key: str, default: str | None = None) -> str:
        """A string; raises GGUFError when missing without `default` or of another type."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise GGUFError(f"{self.full_key(key)} is {reprlib.repr(value)}; expected a string")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or False; raises GGUFError for another type."""
        value = self._value(key, default)
        if not isinstance(value, (bool, np.bool_)):
            raise GGUFError(f"{self.full_key(key)} is {reprlib.repr(value)}; expected a boolean")
        return bool(value)

    def _value(self, key: str, default: Any) -> Any:
        value = self.metadata.get(self.full_key(key), default)
        if value is None:
            raise GGUFError(
                f"{self.full_key(key)} is missing; the file does not describe its model"
            )
        return value

    def _same_for_all_layers(self, key: str, values: Any) -> Any:
        different = sorted(set(np.asarray(values).tolist()))
        if len(different) == 1:
            return different[0]
        raise UnsupportedError(
            f"{self.full_key(key)} varies between layers ({reprlib.repr(different)}); "
            "only models whose layers are alike can run"
        )
