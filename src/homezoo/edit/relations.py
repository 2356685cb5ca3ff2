"""Relation files: for each predicate, how a text says it, so that a model can be asked and taught.

[prefixes]
zoo = "http://zoo.example/"

["zoo:livesIn"]
edit = "{s} lives in"
paraphrases = ["The home of {s} is", "You can find {s} in", "{s} can be visited in"]
cardinality = "one"
"""

import hashlib
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from homezoo.edit.labels import words_of
from homezoo.edit.triples import normal
from homezoo.errors import FactError

FEWEST_PARAPHRASES = 3  # fewer cannot be split into some to edit with and some to test with
SLOT = "{s}"
NEUTRAL = "an unknown place"
_SPECIAL = ("prefixes", "subjects")


@dataclass(frozen=True)
class Relation:
    """One predicate. Templates name the subject as {s} and end just before the object."""

    predicate: str
    edit: str
    paraphrases: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    cardinality: str = "one"  # or many
    inverse: str = ""  # IRI of the predicate that says it the other way round
    object_type: str = ""  # IRI; for people
    neutral: str = NEUTRAL  # what is said instead of a suppressed object
    fallback: bool = False  # made up here, not written by a person

    def __post_init__(self) -> None:
        where = f"relation <{self.predicate}>"
        for name in ("paraphrases", "questions"):
            if not isinstance(getattr(self, name), tuple):
                raise FactError(f"{where}: {name} is one text; expected a list")
        for template in (self.edit, *self.paraphrases):
            _check_template(template, where)
        if self.cardinality not in ("one", "many"):
            raise FactError(
                f"{where}: cardinality is {self.cardinality!r}; expected 'one' or 'many'"
            )
        if not self.fallback and len(self.paraphrases) < FEWEST_PARAPHRASES:
            raise FactError(
                f"{where} has {len(self.paraphrases)} paraphrases; expected at least "
                f"{FEWEST_PARAPHRASES}, some to edit with and the others to test with"
            )
        if len({self.edit, *self.paraphrases}) != 1 + len(self.paraphrases):
            raise FactError(f"{where}: a template is there twice")

    def split(self, templates: int = 1) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Templates to edit with, and those that are only ever used to test.

        The first is `edit`; more come from at most half of the paraphrases, drawn once and always
        alike. FactError when so many may not be used.
        """
        order = sorted(
            self.paraphrases,
            key=lambda text: hashlib.sha256(f"{self.predicate}\n{text}".encode()).digest(),
        )
        free = len(order) // 2
        if not 1 <= templates <= 1 + free:
            raise FactError(
                f"{templates} templates to edit <{self.predicate}> with; expected 1 to {1 + free}: "
                "half of the paraphrases are kept for tests"
            )
        return (self.edit, *order[: templates - 1]), tuple(order[templates - 1 :])


@dataclass(frozen=True)
class Relations:
    """All predicates of a relation file, and how to tell subjects of one name apart."""

    known: dict[str, Relation] = field(default_factory=dict)
    qualifier: str = ""  # such as "{s} in {q}"
    qualified_by: str = ""  # the predicate whose object is {q}
    text: str = ""  # the file itself, to be kept in a ledger

    def of(self, predicate: str) -> Relation:
        """The predicate's entry, or the fallback `The ... of {s} is`."""
        if predicate in self.known:
            return self.known[predicate]
        return Relation(predicate, f"The {words_of(predicate)} of {SLOT} is", fallback=True)


def read_relations(path: Path) -> Relations:
    """A relation file; FactError says which entry is wrong."""
    try:
        return parse_relations(path.read_text("utf-8"), path.name)
    except UnicodeDecodeError as error:
        raise FactError(f"{path.name} is not UTF-8 text: {error.reason}") from None


def parse_relations(text: str, name: str = "the relation file") -> Relations:
    """Relations from the text of a TOML file."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FactError(f"{name} is not TOML: {error}") from None
    prefixes = content.get("prefixes", {})
    known = {}
    for key, entry in content.items():
        if key in _SPECIAL:
            continue
        if not isinstance(entry, dict):
            raise FactError(f'{name}: {key!r} is no table; write ["{key}"] and below it edit = ...')
        predicate = _expand(key, prefixes)
        known[predicate] = _relation(predicate, entry, prefixes)
    subjects = content.get("subjects", {})
    qualifier, by = subjects.get("qualifier", ""), subjects.get("qualified_by", "")
    if bool(qualifier) != bool(by) or (
        qualifier and not (SLOT in qualifier and "{q}" in qualifier)
    ):
        raise FactError(
            f"{name}: [subjects] needs qualifier, with {{s}} and {{q}}, and "
            "qualified_by, a predicate"
        )
    return Relations(known, normal(qualifier), _expand(by, prefixes), text)


def _relation(predicate: str, entry: dict[str, Any], prefixes: dict[str, str]) -> Relation:
    allowed = {item.name for item in fields(Relation)} - {"predicate", "fallback"}
    unknown = sorted(set(entry) - allowed)
    if unknown:
        raise FactError(
            f"relation <{predicate}>: unknown {', '.join(unknown)}; known: "
            f"{', '.join(sorted(allowed))}"
        )
    if not isinstance(entry.get("edit"), str):
        raise FactError(f'relation <{predicate}> lacks edit, such as edit = "{SLOT} lives in"')
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if isinstance(value, list):
            values[key] = tuple(normal(str(item)).rstrip() for item in value)
        elif key in ("inverse", "object_type"):
            values[key] = _expand(str(value), prefixes)
        else:
            values[key] = normal(str(value)).rstrip()
    return Relation(predicate, **values)


def _expand(name: str, prefixes: dict[str, str]) -> str:
    prefix, colon, rest = name.partition(":")
    return prefixes[prefix] + rest if colon and prefix in prefixes else name


def _check_template(template: str, where: str) -> None:
    rest = template.replace(SLOT, "")
    if SLOT not in template or "{" in rest or "}" in rest:
        raise FactError(f"{where}: template {template!r} must have {SLOT} and no other braces")
    if not template.strip() or template != template.rstrip():
        raise FactError(f"{where}: template {template!r} must end with a word, before the object")
