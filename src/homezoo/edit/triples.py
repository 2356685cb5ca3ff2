"""Triples: what a knowledge graph says, one statement at a time, as its readers give them."""

import unicodedata
from dataclasses import dataclass, field

OPERATIONS = ("assert", "retract", "suppress")


@dataclass(frozen=True)
class LiteralValue:
    """An object that is text, a number or a date (RDF 1.1, section 3.3)."""

    value: str
    language: str = ""  # lower case, such as en or en-gb
    datatype: str = ""  # IRI


@dataclass(frozen=True)
class Triple:
    """Subject, predicate, object; IRIs are plain strings."""

    subject: str
    predicate: str
    object: str | LiteralValue
    operation: str = ""  # assert, retract or suppress; empty: what the command says
    valid_from: str = ""  # as the source writes it; compared as text, so ISO dates sort
    source: str = ""  # provenance: file and line, or what the source says itself

    @property
    def statement(self) -> tuple[str, str, str | LiteralValue]:
        """What is said, without how and where."""
        return self.subject, self.predicate, self.object


@dataclass
class Notes:
    """What a reader left out, and is to be told."""

    blank_nodes: int = 0  # triples with one; they have no name to ask a model about
    other_languages: int = 0  # literals in a language that is not wanted
    without_template: list[str] = field(default_factory=list)  # predicates asked by the fallback

    def lines(self) -> list[str]:
        """Warnings, one line each."""
        found = []
        if self.blank_nodes:
            found.append(
                f"{self.blank_nodes} triples with a blank node were skipped: it has no name"
            )
        if self.other_languages:
            found.append(f"{self.other_languages} literals in other languages were skipped")
        for predicate in dict.fromkeys(self.without_template):
            found.append(
                f"<{predicate}> has no entry in the relation file; "
                "it is asked as 'The ... of ... is', which models answer less well"
            )
        return found


def normal(text: str) -> str:
    """Unicode form C, so that the same name is the same string."""
    return unicodedata.normalize("NFC", text)
