"""`homezoo edit plan`: asks the base what it knows, and says what a file of facts would change."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
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
    duration,
    facts_of,
    open_reader,
    profile_of,
    relations_of,
)
from homezoo.commands.options import JsonOption, ModelArgument, ThreadsOption
from homezoo.commands.table import print_table
from homezoo.edit.ask import Asker
from homezoo.edit.fact_record import fact_id
from homezoo.edit.facts import Fact
from homezoo.edit.grade import known_facts
from homezoo.edit.ledger import Ledger
from homezoo.edit.ntriples import format_ntriples
from homezoo.edit.plans import plan_facts
from homezoo.edit.profile import Measured
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.spent import Spent
from homezoo.edit.triples import Triple
from homezoo.errors import EditError

DETAILS = (
    "What the base answers right already needs no edit. --missing writes the other facts to a file "
    "for `homezoo edit assert`."
)

MissingOption = Annotated[
    str | None, typer.Option("--missing", metavar="FILE.nt", help="write what is to be edited here")
]


LedgerOption = Annotated[
    Path | None,
    typer.Option("--ledger", metavar="LEDGER", help="count what it has, or has otherwise"),
]


@dataclass(frozen=True)
class Row:
    """One relation of the plan."""

    predicate: str
    facts: int
    known: int  # answered right by the base
    units: int  # of the others
    noted: int  # in the ledger already
    changed: int  # in the ledger with another object, which would be superseded


@dataclass(frozen=True)
class Times:
    """How long keys and residuals take."""

    per_fact: float  # seconds
    source: str


def command(
    model: ModelArgument,
    facts: FactsArgument,
    relations: RelationsOption = None,
    profile: ProfileOption = None,
    ledger: LedgerOption = None,
    query: QueryOption = None,
    language: LanguageOption = "en",
    on_conflict: ConflictOption = "error",
    inverse: InverseOption = False,
    missing: MissingOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """A table by relation, how full the edited layer becomes, and how long it takes."""
    entries = relations_of(relations)
    wanted = facts_of(facts, entries, "assert", query, language, on_conflict, inverse)
    with open_reader(model, threads) as reader:
        known = {fact.key for fact in known_facts(reader, wanted, entries, Asker(reader))}
        rest = [fact for fact in wanted if fact.key not in known]
        width = reader.model.config.feed_forward
        per_fact = {fact.key: _units(reader, fact, entries) for fact in rest}
        try:
            measured = profile_of(reader, profile)
            layers = 1 if measured.profile.spread else len(measured.profile.layers)
            times = _times(reader, measured, entries, rest)
        except EditError:
            layers, times = 0, None  # no profile yet: the rest of the plan needs none
    rows = _rows(wanted, known, per_fact, ledger)
    total = sum(per_fact.values())
    rho = total / (width * max(layers, 1))
    if missing is not None:
        triples = [Triple(f.subject, f.predicate, target) for f in rest for target in f.targets]
        with open(missing, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in format_ntriples(triples))
    if as_json:
        shown = [vars(row) for row in rows]
        print(json.dumps({"relations": shown, "units": total, "rho": rho,
                          "seconds": times and times.per_fact * len(rest)}))  # fmt: skip
        return
    _show(rows, ledger is not None)
    where = f"{layers or 'one'} layer{'s' if layers > 1 else ''} of width {width:,}"
    print(
        f"{total} units in {where}: capacity ρ = {rho:.3f} (up to 0.33 is fine, above 0.5 refused)"
    )
    if times is not None:
        print(f"keys and residuals: about {duration(times.per_fact * len(rest))} here "
              f"({times.per_fact:.2g} s a fact, {times.source})")  # fmt: skip
    if not layers:
        print("this model has no editing profile yet; next: homezoo edit profile")


def _rows(
    wanted: Sequence[Fact],
    known: set[tuple[str, str]],
    per_fact: dict[tuple[str, str], int],
    ledger: Path | None,
) -> list[Row]:
    """By relation, in the order of the file."""
    active: dict[tuple[str, str], str] = {}
    if ledger is not None:
        with Ledger.open(ledger) as opened:
            active = {entry.fact.key: entry.id for entry in opened.active()}
    rows = []
    for predicate in dict.fromkeys(fact.predicate for fact in wanted):
        mine = [fact for fact in wanted if fact.predicate == predicate]
        held = [fact for fact in mine if fact.key in active]
        noted = sum(active[fact.key] == fact_id(fact) for fact in held)
        units = sum(per_fact.get(fact.key, 0) for fact in mine)
        rows.append(Row(predicate, len(mine), sum(fact.key in known for fact in mine), units,
                        noted, len(held) - noted))  # fmt: skip
    return rows


def _show(rows: Sequence[Row], with_ledger: bool) -> None:
    heads = ["relation", "facts", "known already", "to edit", "units"]
    cells = [[r.predicate, r.facts, r.known, r.facts - r.known, r.units] for r in rows]
    if with_ledger:
        heads += ["in the ledger", "changed"]
        cells = [[*cell, r.noted, r.changed] for cell, r in zip(cells, rows, strict=True)]
    print_table(heads, [tuple(map(str, row)) for row in cells], right=range(1, len(heads)))


def _times(
    reader: Reader, measured: Measured, relations: Relations, facts: Sequence[Fact]
) -> Times | None:
    """From the profile's trial edits, else measured on the first fact; None without a fact."""
    held = measured.profile.measured.get("seconds_per_fact")
    if held:
        return Times(held, "measured by the profile")
    if not facts:
        return None
    from homezoo.edit.targets import find_units

    spent, profile = Spent(), measured.profile
    for layer, plans in plan_facts(reader, facts[:1], profile, relations).items():
        for _ in find_units(reader, plans, layer, profile.search, profile.units_id, spent=spent):
            pass
    return Times(spent.per_fact, "measured on the first alone; together they take less")


def _units(reader: Reader, fact: Fact, relations: Relations) -> int:
    """What a fact needs where answers are written token by token."""
    prompt = fact.prompt(relations.of(fact.predicate).edit)
    answers = [reader.answer(prompt, target) for target in fact.objects]
    return len({tuple(ids[:n]) for ids in answers for n in range(len(ids))})
