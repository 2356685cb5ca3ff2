"""Reads triples from any file: our own readers, and rdflib (an extra) for the other RDF formats."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from homezoo.edit.ntriples import read_ntriples
from homezoo.edit.tables import read_sparql_json, read_table
from homezoo.edit.triples import LiteralValue, Notes, Triple, normal
from homezoo.errors import FactError, UnsupportedError

_OURS: dict[str, Callable[[Path, Notes], Iterator[Triple]]] = {
    ".nt": read_ntriples,
    ".csv": read_table,
    ".tsv": read_table,
    ".json": read_sparql_json,
    ".srj": read_sparql_json,
}
_RDFLIB = {
    ".ttl": "turtle", ".rdf": "xml", ".xml": "xml", ".owl": "xml", ".jsonld": "json-ld",
    ".n3": "n3", ".trig": "trig", ".nq": "nquads",
}  # fmt: skip


def read_triples(path: Path, notes: Notes, query: str | None = None) -> Iterator[Triple]:
    """The triples of a file, its format known by its ending; nothing is fetched.

    `query` is a SPARQL query to run over the file: SELECT ?s ?p ?o, or CONSTRUCT. Raises FactError
    for a damaged file, UnsupportedError for an unknown ending or without the extra.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise FactError(f"there is no file {path}")
    if suffix in _OURS and query is None:
        return _OURS[suffix](path, notes)
    if suffix == ".nt":
        return _rdflib_triples(path, "nt", notes, query)
    if suffix in _RDFLIB:
        return _rdflib_triples(path, _RDFLIB[suffix], notes, query)
    if suffix in _OURS:
        raise UnsupportedError(f"{path.name} is a table; SPARQL queries need an RDF file")
    raise UnsupportedError(
        f"{path.name} ends in {suffix or 'nothing'}; known: {', '.join([*_OURS, *_RDFLIB])}"
    )


def _rdflib_triples(path: Path, format: str, notes: Notes, query: str | None) -> Iterator[Triple]:
    try:
        import rdflib
    except ImportError:
        raise UnsupportedError(
            f"reading {path.name} needs rdflib; pip install 'homezoo[rdf]', or give N-Triples"
        ) from None
    graph = rdflib.Graph()
    try:
        graph.parse(str(path), format=format, publicID=path.resolve().as_uri())
        rows: Any = graph if query is None else graph.query(query)
    except Exception as error:  # each of its parsers has errors of its own
        raise FactError(f"{path.name}: {' '.join(str(error).split())[:200]}") from None
    # Sorted, because rdflib gives triples in no fixed order and ours is to be the same every time.
    statements = sorted((tuple(row) for row in rows), key=lambda row: tuple(map(str, row)))
    for row in statements:
        if len(row) != 3:
            raise FactError(f"the query gives rows of {len(row)} values; select ?s ?p ?o")
        subject, predicate, value = row
        if isinstance(subject, rdflib.BNode) or isinstance(value, rdflib.BNode):
            notes.blank_nodes += 1
            continue
        if isinstance(value, rdflib.Literal):
            language, kind = (value.language or "").lower(), str(value.datatype or "")
            text: str | LiteralValue = LiteralValue(normal(str(value)), language, kind)
        else:
            text = str(value)
        yield Triple(str(subject), str(predicate), text, source=path.name)
