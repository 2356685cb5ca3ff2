"""`homezoo edit plan`: asks the base what it knows, and says what a file of facts would change."""

import json
from dataclasses import dataclass
from typing import Annotated

import typer

from homezoo.commands.edit.options import (
    ConflictOption,
    FactsArgument,
    InverseOption,
    LanguageOption,
    ProfileOption,
    QueryOption,
    RelationsOption,
    facts_of,
    open_reader,
    profile_of,
    relations_of,
)
from homezoo.commands.options import JsonOption, ModelArgument, ThreadsOption
from homezoo.commands.table import print_table
from homezoo.edit.ask import Asker
from homezoo.edit.facts import Fact
from homezoo.edit.grade import known_facts
from homezoo.edit.ntriples import format_ntriples
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.triples import Triple
from homezoo.errors import EditError

DETAILS = (
    "What the base answers right already needs no edit. --missing writes the other facts to a file "
    "for `homezoo edit assert`."
)

MissingOption = Annotated[
    str | None, typer.Option("--missing", metavar="FILE.nt", help="write what is to be edited here")
]


@dataclass(frozen=True)
class Row:
    """One relation of the plan."""

    predicate: str
    facts: int
    known: int  # answered right by the base
    units: int  # of the others


def command(
    model: ModelArgument,
    facts: FactsArgument,
    relations: RelationsOption = None,
    profile: ProfileOption = None,
    query: QueryOption = None,
    language: LanguageOption = "en",
    on_conflict: ConflictOption = "error",
    inverse: InverseOption = False,
    missing: MissingOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """A table by relation, and how full the edited layer becomes."""
    entries = relations_of(relations)
    wanted = facts_of(facts, entries, "assert", query, language, on_conflict, inverse)
    with open_reader(model, threads) as reader:
        known = {fact.key for fact in known_facts(reader, wanted, entries, Asker(reader))}
        rest = [fact for fact in wanted if fact.key not in known]
        width = reader.model.config.feed_forward
        per_fact = {fact.key: _units(reader, fact, entries) for fact in rest}
        try:
            layers = len(profile_of(reader, profile).profile.layers)
        except EditError:
            layers = 0  # no profile yet: the plan needs none
    rows = [
        Row(
            predicate,
            sum(f.predicate == predicate for f in wanted),
            sum(key[1] == predicate for key in known),
            sum(n for key, n in per_fact.items() if key[1] == predicate),
        )
        for predicate in dict.fromkeys(fact.predicate for fact in wanted)
    ]
    total = sum(per_fact.values())
    rho = total / (width * max(layers, 1))
    if missing is not None:
        triples = [Triple(f.subject, f.predicate, target) for f in rest for target in f.targets]
        with open(missing, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in format_ntriples(triples))
    if as_json:
        shown = [vars(row) for row in rows]
        print(json.dumps({"relations": shown, "units": total, "rho": rho}))
        return
    print_table(
        ("relation", "facts", "known already", "to edit", "units"),
        [(r.predicate, str(r.facts), str(r.known), str(r.facts - r.known), str(r.units))
         for r in rows],
        right=(1, 2, 3, 4),
    )  # fmt: skip
    where = f"{layers or 'one'} layer{'s' if layers > 1 else ''} of width {width:,}"
    print(
        f"{total} units in {where}: capacity ρ = {rho:.3f} (up to 0.33 is fine, above 0.5 refused)"
    )
    if not layers:
        print("this model has no editing profile yet; next: homezoo edit profile")


def _units(reader: Reader, fact: Fact, relations: Relations) -> int:
    """What a fact needs where answers are written token by token."""
    prompt = fact.prompt(relations.of(fact.predicate).edit)
    answers = [reader.answer(prompt, target) for target in fact.objects]
    return len({tuple(ids[:n]) for ids in answers for n in range(len(ids))})
