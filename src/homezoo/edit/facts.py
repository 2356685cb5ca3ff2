"""From triples to facts: one wanted answer for each subject and relation, or an error.

A fact is what one prompt is answered with. Two answers to one prompt are never both kept: least
squares would average them, and both would fail.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from homezoo.edit.labels import Labels
from homezoo.edit.rdf import read_triples
from homezoo.edit.relations import SLOT, Relations
from homezoo.edit.triples import LiteralValue, Notes, Triple
from homezoo.errors import FactError

OnConflict = Literal["error", "last", "newest", "skip"]
CONFLICT_RULES: tuple[str, ...] = ("error", "last", "newest", "skip")


@dataclass(frozen=True)
class Fact:
    """Subject, relation and what is to be answered, in words."""

    subject: str  # IRI
    predicate: str
    name: str  # what texts call the subject
    objects: tuple[str, ...]  # in words; several only when the relation's cardinality is many
    operation: str = "assert"  # retract, suppress
    aliases: tuple[str, ...] = ()  # other names of the subject, for tests only
    accepted: tuple[str, ...] = ()  # other names of the object that count as right answers
    targets: tuple[str | LiteralValue, ...] = ()  # the objects as the graph has them
    valid_from: str = ""
    source: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What at most one active fact has: subject and predicate."""
        return self.subject, self.predicate

    def prompt(self, template: str) -> str:
        """A template about this subject."""
        return template.replace(SLOT, self.name)


def read_graph(
    path: Path, query: str | None = None, language: str = "en"
) -> tuple[list[Triple], Labels, Notes]:
    """The triples of a file without those that state names, the names, and what was left out."""
    labels, notes = Labels(language), Notes()
    return split_labels(read_triples(path, notes, query), labels), labels, notes


def split_labels(triples: Iterable[Triple], labels: Labels) -> list[Triple]:
    """The triples that state no name; the names go into `labels`."""
    return [triple for triple in triples if not labels.collect(triple)]


def make_facts(
    triples: Sequence[Triple],
    labels: Labels,
    relations: Relations,
    operation: str,
    notes: Notes,
    on_conflict: OnConflict = "error",
    inverse: bool = False,
) -> list[Fact]:
    """Facts in the order in which their first triple came.

    `operation` is what a triple without its own means. With `inverse`, a relation that names its
    inverse is also written the other way round. Raises FactError for two objects of a relation
    that has one (unless `on_conflict` says which to keep), and for two subjects of one name.
    """
    if on_conflict not in CONFLICT_RULES:
        raise FactError(f"on_conflict is {on_conflict!r}; expected {', '.join(CONFLICT_RULES)}")
    if inverse:
        triples = [*triples, *_inverted(triples, relations)]
    qualifiers = _qualifiers(triples, labels, relations)
    groups: dict[tuple[str, str], list[Triple]] = {}
    for triple in triples:
        value = triple.object
        if isinstance(value, LiteralValue) and not labels.speaks(value):
            notes.other_languages += 1
            continue
        groups.setdefault((triple.subject, triple.predicate), []).append(triple)
    facts = []
    for group in groups.values():
        group = list({(t.statement, t.operation): t for t in group}.values())  # the same twice
        if relations.of(group[0].predicate).cardinality == "one":
            group = _settled(group, labels, on_conflict)
        if group and relations.of(group[0].predicate).fallback:
            notes.without_template.append(group[0].predicate)
        facts += _facts_of(group, labels, operation, qualifiers)
    check_subjects(facts)
    return facts


def check_subjects(facts: Iterable[Fact]) -> None:
    """FactError when two subjects have one name in one relation: the model could not tell which."""
    seen: dict[tuple[str, str], str] = {}
    for fact in facts:
        other = seen.setdefault((fact.name, fact.predicate), fact.subject)
        if other != fact.subject:
            raise FactError(
                f"<{other}> and <{fact.subject}> are both called {fact.name!r}, and both have "
                f"<{fact.predicate}>; a prompt cannot tell them apart: give them other labels, or "
                "a qualifier under [subjects] in the relation file"
            )


def diff(old: Iterable[Triple], new: Iterable[Triple]) -> tuple[list[Triple], list[Triple]]:
    """What to assert and what to retract, to come from one graph to the other; order of the source.

    A changed object is in the first list only: asserting it replaces what was there, unless
    several objects are possible, which the ledger decides by the relation.
    """
    before, after = list(old), list(new)
    held, wanted = {t.statement for t in before}, {t.statement for t in after}
    gained = [t for t in dict.fromkeys(after) if t.statement not in held]
    lost = [t for t in dict.fromkeys(before) if t.statement not in wanted]
    return gained, lost


def _settled(group: list[Triple], labels: Labels, rule: OnConflict) -> list[Triple]:
    """One triple of those that claim the one object."""
    if len(group) < 2:
        return group
    if rule == "skip":
        return []
    if rule == "last":
        return group[-1:]
    if rule == "newest":
        newest = max(triple.valid_from for triple in group)
        group = [triple for triple in group if triple.valid_from == newest]
        if len(group) == 1:
            return group
    listed = "; ".join(
        f"{labels.text(t.object)!r} ({t.source or 'no source'}"
        f"{', from ' + t.valid_from if t.valid_from else ''})"
        for t in group[:4]
    )
    raise FactError(
        f"{labels.name(group[0].subject)!r} has {len(group)} objects of <{group[0].predicate}>, "
        f"which takes one: {listed}; correct the source, or use --on-conflict last, newest or skip"
    )


def _facts_of(
    group: list[Triple], labels: Labels, operation: str, qualifiers: dict[str, str]
) -> list[Fact]:
    """One fact for each operation in a group of one subject and predicate."""
    by_operation: dict[str, list[Triple]] = {}
    for triple in group:
        by_operation.setdefault(triple.operation or operation, []).append(triple)
    if len(by_operation) > 1:
        raise FactError(
            f"{labels.name(group[0].subject)!r}: <{group[0].predicate}> is to be "
            f"{' and '.join(sorted(by_operation))} at once; give one operation"
        )
    facts = []
    for chosen, members in by_operation.items():
        first = members[0]
        accepted = [
            alias
            for t in members
            if isinstance(t.object, str)
            for alias in labels.aliases(t.object)
        ]
        facts.append(
            Fact(
                first.subject,
                first.predicate,
                qualifiers.get(first.subject, labels.name(first.subject)),
                tuple(dict.fromkeys(labels.text(t.object) for t in members)),
                chosen,
                labels.aliases(first.subject),
                tuple(accepted),
                tuple(t.object for t in members),
                max(t.valid_from for t in members),
                first.source,
            )
        )
    return facts


def _inverted(triples: Iterable[Triple], relations: Relations) -> list[Triple]:
    found = []
    for t in triples:
        inverse = relations.of(t.predicate).inverse
        if inverse and isinstance(t.object, str):
            found.append(Triple(t.object, inverse, t.subject, t.operation, t.valid_from, t.source))
    return found


def _qualifiers(triples: Iterable[Triple], labels: Labels, relations: Relations) -> dict[str, str]:
    """Longer names of subjects, from the relation file's rule."""
    if not relations.qualifier:
        return {}
    return {
        t.subject: relations.qualifier.replace(SLOT, labels.name(t.subject)).replace(
            "{q}", labels.text(t.object)
        )
        for t in triples
        if t.predicate == relations.qualified_by
    }
