"""Reads training data: JSON, JSONL, Parquet, plain text, or a folder of them.

A row that cannot be used is kept with its place and the reason, never dropped in silence.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homezoo.errors import DataError, UnsupportedError
from homezoo.train.rows import Instruction, Row, rows_of

TEXT_SUFFIXES = (".txt", ".md")
_JSON_SPACE = " \t\r\n"
_ALPACA_ROWS = 50_000  # of Stanford's set there are 52,002
ALPACA_LICENCE = "cc-by-nc-4.0"  # and OpenAI's terms hold on what its model wrote


@dataclass(frozen=True)
class PlacedRow:
    """A row and where it stands, such as `data.jsonl line 3`."""

    place: str
    row: Row


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    place: str
    reason: str


@dataclass
class Data:
    """What was read of one path."""

    name: str
    rows: list[PlacedRow] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    digest: str = ""  # SHA-256 of all files' bytes, in hexadecimal digits

    @property
    def known_licence(self) -> str | None:
        """The licence of data that is plainly Stanford Alpaca's; None for any other."""
        instructions = sum(isinstance(placed.row, Instruction) for placed in self.rows)
        named = "alpaca" in self.name.lower() and instructions == len(self.rows)
        return ALPACA_LICENCE if named and instructions >= _ALPACA_ROWS else None


def read_data(path: Path) -> Data:
    """All rows of a file, or of the files in a folder, in order of their names.

    Raises DataError for a file that is damaged as a whole, of a kind not known, or without one
    usable row.
    """
    readers = _readers()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in readers)
        if not files:
            raise DataError(f"{path} holds no file of {', '.join(readers)}")
    elif path.is_file():
        files = [path]
    else:
        raise DataError(f"{path} does not exist; give a file or a folder of training data")
    data, digest = Data(path.name), hashlib.sha256()
    for file in files:
        reader = readers.get(file.suffix.lower())
        if reader is None:
            raise DataError(f"{file} is of no known kind; known: {', '.join(readers)}")
        digest.update(file.read_bytes())
        for place, value in reader(file):
            _add(data, place, value)
    data.digest = digest.hexdigest()
    if not data.rows:
        first = f"; the first: {data.bad[0].place} {data.bad[0].reason}" if data.bad else ""
        raise DataError(f"{path} has 0 usable rows and {len(data.bad)} bad ones{first}")
    return data


def _add(data: Data, place: str, value: Any) -> None:
    try:
        if isinstance(value, DataError):
            raise value
        data.rows.extend(PlacedRow(place, row) for row in rows_of(value))
    except DataError as error:
        data.bad.append(BadRow(place, str(error)))


Reader = Callable[[Path], Iterator[tuple[str, Any]]]


def _readers() -> dict[str, Reader]:
    return {
        ".jsonl": _lines,
        ".ndjson": _lines,
        ".json": _json,
        ".parquet": _parquet,
        **dict.fromkeys(TEXT_SUFFIXES, _plain),
    }


def _decode(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: byte {error.start} is wrong") from None


def _plain(path: Path) -> Iterator[tuple[str, Any]]:
    yield path.name, _decode(path)


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    """A value per line; a line that is no JSON is a bad row."""
    for number, line in enumerate(_decode(path).split("\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                value = DataError(f"is not JSON: {error}")
            yield f"{path.name} line {number}", value


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    """The values of an array, each with its line; or lines of objects under the wrong name."""
    text = _decode(path)
    start = len(text) - len(text.lstrip(_JSON_SPACE))
    if text[start : start + 1] == "{":
        yield from _lines(path)
        return
    if text[start : start + 1] != "[":
        raise DataError(f"{path} is not an array of JSON objects: it begins with {text[:10]!r}")
    decoder, at, line, counted = json.JSONDecoder(), start + 1, 1, 0
    while True:
        while text[at : at + 1] and text[at] in _JSON_SPACE + ",":
            at += 1
        line, counted = line + text.count("\n", counted, at), at
        if text[at : at + 1] == "]":
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} line {line} is not JSON from there on: {error}") from None
        yield f"{path.name} line {line}", value
        at = end


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UnsupportedError(
            f"{path} is Parquet, which needs pyarrow: pip install 'homezoo[parquet]'"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for value in batch.to_pylist():
                    number += 1
                    yield f"{path.name} row {number}", _without_nulls(value)
    except (OSError, ValueError) as error:  # pyarrow's own errors are kinds of these
        raise DataError(f"{path} is not sound Parquet: {error}") from None


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """A column that a row leaves empty is a key that it does not have."""
    return {key: item for key, item in value.items() if item is not None}
