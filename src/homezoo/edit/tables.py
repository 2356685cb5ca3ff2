"""Reads triples from CSV and TSV tables, and from results of SPARQL queries."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from homezoo.edit.ntriples import parse_ntriples
from homezoo.edit.triples import OPERATIONS, LiteralValue, Notes, Triple, normal
from homezoo.errors import FactError

_NAMES = {"s": "subject", "p": "predicate", "o": "object", "operation": "op"}
_NEEDED = ("subject", "predicate", "object")
_ALLOWED = (*_NEEDED, "op", "valid_from", "source")
_IRI = re.compile(r"(?:https?://|urn:)\S+")


def read_table(path: Path, notes: Notes) -> Iterator[Triple]:
    """Triples of a table whose first line names its columns: subject, predicate, object and, if
    wanted, op, valid_from, source. Raises FactError with the line.

    A cell that begins with http://, https:// or urn: is an IRI; other subjects and predicates name
    themselves, other objects are text. A SPARQL result's ?s, ?p, ?o serve as well.
    """
    tabs = path.suffix.lower() == ".tsv"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = (  # tabs separate without quotes, in SPARQL's own format too
                csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                if tabs
                else csv.reader(file, strict=True)
            )
            columns = _columns(next(rows, []), path.name)
            for cells in rows:
                if any(cells):
                    yield _triple(cells, columns, f"{path.name}:{rows.line_num}", notes)
    except UnicodeDecodeError as error:
        raise FactError(f"{path.name} is not UTF-8 text: {error.reason}") from None
    except csv.Error as error:
        raise FactError(f"{path.name}, line {rows.line_num}: {error}") from None


def read_sparql_json(path: Path, notes: Notes) -> Iterator[Triple]:
    """Triples of a SPARQL 1.1 result in JSON whose variables are s, p, o or the long names."""
    try:
        content = json.loads(path.read_text("utf-8"))
        bindings: list[dict[str, Any]] = content["results"]["bindings"]
    except (ValueError, KeyError, TypeError):
        raise FactError(f"{path.name} is no SPARQL result in JSON: results.bindings is missing; "
                        "JSON-LD files end in .jsonld") from None  # fmt: skip
    for number, row in enumerate(bindings, 1):
        cells = {_NAMES.get(name, name): value for name, value in row.items()}
        place = f"{path.name}, binding {number}"
        missing = [name for name in _NEEDED if name not in cells]
        if missing:
            raise FactError(f"{place} lacks {', '.join(missing)}; select ?s ?p ?o")
        if any(cells[name].get("type") == "bnode" for name in _NEEDED):
            notes.blank_nodes += 1
            continue
        target = cells["object"]
        value: str | LiteralValue = target["value"]
        if target.get("type") != "uri":
            language = str(target.get("xml:lang", "")).lower()
            value = LiteralValue(normal(target["value"]), language, target.get("datatype", ""))
        yield Triple(cells["subject"]["value"], cells["predicate"]["value"], value, source=place)


def _columns(heads: list[str], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, head in enumerate(heads):
        plain = head.strip().lstrip("?").lower()
        found[_NAMES.get(plain, plain)] = place
    missing = [column for column in _NEEDED if column not in found]
    if missing:
        raise FactError(
            f"{name}: the first line must name the columns; {', '.join(missing)} is missing in "
            f"{heads[:8]}"
        )
    unknown = [column for column in found if column not in _ALLOWED]
    if unknown:
        raise FactError(f"{name}: unknown columns {unknown}; known: {', '.join(_ALLOWED)}")
    return found


def _triple(cells: list[str], columns: dict[str, int], place: str, notes: Notes) -> Triple:
    if len(cells) < len(columns):
        raise FactError(f"{place} has {len(cells)} cells; expected {len(columns)}")
    row = {name: normal(cells[column].strip()) for name, column in columns.items()}
    empty = [name for name in _NEEDED if not row[name]]
    if empty:
        raise FactError(f"{place}: {', '.join(empty)} is empty")
    operation = row.get("op", "").lower()
    if operation and operation not in OPERATIONS:
        raise FactError(f"{place}: op is {operation!r}; expected {', '.join(OPERATIONS)}")
    more = {"valid_from": row.get("valid_from", ""), "source": row.get("source") or place}
    if row["object"].startswith(('"', "<")) or row["subject"].startswith("<"):
        return _term_row(row, operation, more, notes)  # SPARQL TSV writes terms as N-Triples
    target = row["object"]
    value = target if _IRI.fullmatch(target) else LiteralValue(target)
    return Triple(row["subject"], row["predicate"], value, operation, **more)


def _term_row(row: dict[str, str], operation: str, more: dict[str, str], notes: Notes) -> Triple:
    terms = []
    for name in _NEEDED:
        term = row[name]
        terms.append(f"<{term}>" if name != "object" and not term.startswith("<") else term)
    line = " ".join([*terms, "."]).encode()
    for triple in parse_ntriples([line], more["source"], notes):
        return Triple(*triple.statement, operation, **more)
    raise FactError(f"{more['source']}: blank nodes have no name to ask a model about")
