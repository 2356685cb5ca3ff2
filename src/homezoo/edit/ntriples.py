"""Reads and writes N-Triples, line by line (W3C recommendation of 2014-02-25)."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from homezoo.edit.triples import LiteralValue, Notes, Triple, normal
from homezoo.errors import FactError

_IRI = r"<([^\x00-\x20<>\"{}|^`]*)>"
_BLANK = r"(_:[^\s<>\"]+)"
_TEXT = r'"((?:[^"\\\n\r]|\\.)*)"'
_LINE = re.compile(
    rf"[ \t]*(?:{_IRI}|{_BLANK})[ \t]*{_IRI}[ \t]*"
    rf"(?:{_IRI}|{_BLANK}|{_TEXT}(?:@([A-Za-z]+(?:-[A-Za-z0-9]+)*)|\^\^{_IRI})?)"
    r"[ \t]*\.[ \t]*(?:#.*)?"
)
_EMPTY = re.compile(r"[ \t]*(?:#.*)?")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.S)
_LETTERS = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_SHOWN = 80  # characters of a wrong line in its error


def read_ntriples(path: Path, notes: Notes) -> Iterator[Triple]:
    """The triples of a file, as they come; FactError names the line that is wrong."""
    with path.open("rb") as file:
        yield from parse_ntriples(file, path.name, notes)


def parse_ntriples(lines: Iterable[bytes], name: str, notes: Notes) -> Iterator[Triple]:
    """The triples of lines of UTF-8; those with blank nodes are counted in `notes` and skipped."""
    for number, raw in enumerate(lines, 1):
        try:
            line = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise FactError(
                f"{name}, line {number}: byte {error.start} is not UTF-8; save the file as UTF-8"
            ) from None
        found = _LINE.fullmatch(line)
        if found is None:
            if _EMPTY.fullmatch(line):
                continue
            raise FactError(
                f"{name}, line {number} is no N-Triples statement: {line[:_SHOWN]!r}; expected "
                '<subject> <predicate> <object or "text"> .'
            )
        subject, blank, predicate, target, blank_target, text, language, datatype = found.groups()
        if blank is not None or blank_target is not None:
            notes.blank_nodes += 1
            continue
        place = f"{name}:{number}"
        value: str | LiteralValue
        if text is None:
            value = _iri(target, place)
        else:
            kind = "" if datatype is None else _iri(datatype, place)
            value = LiteralValue(normal(_unescape(text, place)), (language or "").lower(), kind)
        yield Triple(_iri(subject, place), _iri(predicate, place), value, source=place)


def format_ntriples(triples: Iterable[Triple]) -> Iterator[str]:
    """One line of N-Triples for each, which `parse_ntriples` reads back as the same statement."""
    for triple in triples:
        value = triple.object
        if isinstance(value, str):
            written = _written_iri(value)
        else:
            written = '"' + _escaped(value.value) + '"'
            if value.language:
                written += f"@{value.language}"
            elif value.datatype:
                written += f"^^{_written_iri(value.datatype)}"
        yield f"{_written_iri(triple.subject)} {_written_iri(triple.predicate)} {written} ."


def _iri(text: str, place: str) -> str:
    text = _unescape(text, place) if "\\" in text else text
    if ":" not in text:
        raise FactError(f"{place}: <{text[:_SHOWN]}> is no absolute IRI; write it with its scheme")
    return text


def _unescape(text: str, place: str) -> str:
    if "\\" not in text:
        return text

    def plain(found: re.Match[str]) -> str:
        short, long, letter = found.groups()
        if letter is not None:
            if letter not in _LETTERS:
                raise FactError(f"{place}: \\{letter} is no escape of N-Triples")
            return _LETTERS[letter]
        code = int(short or long, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise FactError(f"{place}: {found[0]} is no Unicode character")
        return chr(code)

    return _ESCAPE.sub(plain, text)


def _escaped(text: str) -> str:
    table = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"}
    return "".join(table.get(letter, letter) for letter in text)


def _written_iri(text: str) -> str:
    """Characters that an IRI cannot hold are written as escapes."""
    forbidden = set('<>"{}|^`\\')
    plain = [
        f"\\u{ord(letter):04X}" if letter in forbidden or letter <= " " else letter
        for letter in text
    ]
    return f"<{''.join(plain)}>"
