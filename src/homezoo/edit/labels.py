"""From IRIs and literals to the words that a text would use for them."""

import re
from urllib.parse import unquote

from homezoo.edit.triples import LiteralValue, Triple, normal
from homezoo.errors import FactError

_RDFS = "http://www.w3.org/2000/01/rdf-schema#label"
_SKOS = "http://www.w3.org/2004/02/skos/core#"
_XSD = "http://www.w3.org/2001/XMLSchema#"
LABEL_PREDICATES = (  # in order of preference
    _RDFS, _SKOS + "prefLabel", "http://schema.org/name", "https://schema.org/name",
)  # fmt: skip
ALIAS_PREDICATE = _SKOS + "altLabel"
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Labels:
    """Names of things in one language, gathered from the triples that state them."""

    def __init__(self, language: str = "en") -> None:
        self.language = language.lower()
        self._names: dict[str, list[tuple[int, str]]] = {}  # IRI to (rank, name); lower is better
        self._aliases: dict[str, list[str]] = {}

    def collect(self, triple: Triple) -> bool:
        """Takes a triple that states a name; False, and nothing done, for any other."""
        value = triple.object
        if triple.predicate == ALIAS_PREDICATE and isinstance(value, LiteralValue):
            if self.speaks(value):
                self._aliases.setdefault(triple.subject, []).append(value.value)
            return True
        if triple.predicate not in LABEL_PREDICATES or not isinstance(value, LiteralValue):
            return False
        kind = LABEL_PREDICATES.index(triple.predicate)
        rank = kind + (0 if self.speaks(value) else len(LABEL_PREDICATES))
        self._names.setdefault(triple.subject, []).append((rank, value.value))
        return True

    def name(self, iri: str) -> str:
        """The label in the wanted language, else in any, else words from the IRI's end."""
        if iri in self._names:
            return min(self._names[iri])[1]
        if ":" not in iri:
            return iri  # a table's plain text names itself
        return words_of(iri)

    def aliases(self, iri: str) -> tuple[str, ...]:
        """Other names, without the first."""
        return tuple(dict.fromkeys(a for a in self._aliases.get(iri, ()) if a != self.name(iri)))

    def speaks(self, value: LiteralValue) -> bool:
        """Whether a literal is in the wanted language, a dialect of it, or in none."""
        return value.language.split("-")[0] in ("", self.language.split("-")[0])

    def text(self, value: str | LiteralValue) -> str:
        """What a text would write for an object."""
        return self.name(value) if isinstance(value, str) else literal_text(value)


def words_of(iri: str) -> str:
    """`polar bear` for http://zoo.example/polarBear or .../polar_bear."""
    last = re.split(r"[/#:]", unquote(iri).rstrip("/#"))[-1]
    words = _HUMPS.sub(" ", last).replace("_", " ").replace("-", " ").split()
    humps = " ".join(
        word.lower() if place and not word.isupper() else word for place, word in enumerate(words)
    )
    return normal(humps) or iri


def literal_text(value: LiteralValue) -> str:
    """Dates as `1 March 2024`, booleans as yes and no, numbers without what says nothing.

    Raises FactError for a literal that is not of its own datatype.
    """
    text, kind = value.value.strip(), value.datatype.removeprefix(_XSD)
    if kind == "date":
        found = re.fullmatch(r"(-?\d{4,})-(\d\d)-(\d\d)(?:Z|[+-]\d\d:\d\d)?", text)
        if not found or not 1 <= int(found[2]) <= 12 or not 1 <= int(found[3]) <= 31:
            raise FactError(f"{text!r} is no xsd:date; expected such as 2024-03-01")
        return f"{int(found[3])} {_MONTHS[int(found[2]) - 1]} {int(found[1])}"
    if kind == "gYear":
        found = re.fullmatch(r"(-?\d{4,})(?:Z|[+-]\d\d:\d\d)?", text)
        if not found:
            raise FactError(f"{text!r} is no xsd:gYear; expected such as 2024")
        return str(int(found[1]))
    if kind == "boolean":
        if text not in ("true", "false", "1", "0"):
            raise FactError(f"{text!r} is no xsd:boolean; expected true or false")
        return "yes" if text in ("true", "1") else "no"
    if kind in ("decimal", "integer", "int", "long", "nonNegativeInteger", "positiveInteger"):
        found = re.fullmatch(r"([+-]?)0*(\d*)(?:\.(\d*?)0*)?", text)
        if not found or not (found[2] or found[3] or "0" in text):
            raise FactError(f"{text!r} is no xsd:{kind}")
        whole = found[2] or "0"
        number = f"{whole}.{found[3]}" if found[3] else whole
        return f"-{number}" if found[1] == "-" and number != "0" else number
    return text
