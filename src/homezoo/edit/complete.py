"""Finds keys and residuals of a ledger's active facts that it does not hold yet, and keeps them."""

import json
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Items
from dataclasses import asdict, dataclass, field

from homezoo.edit.build import Capacity, capacity, make_adapter, no_change
from homezoo.edit.compact import Compacted, compact_answers
from homezoo.edit.fact_record import Unit
from homezoo.edit.ledger import Ledger
from homezoo.edit.plans import owners_of, plan_facts
from homezoo.edit.profile import Measured, Profile
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.sites import Plan
from homezoo.edit.spent import Spent
from homezoo.edit.spread import updates_of
from homezoo.errors import EditError, OptionError
from homezoo.formats.adapter_file import Adapter
from homezoo.formats.adapter_origin import own_name

Progress = Callable[[str, int, int], None]


def check_base(ledger: Ledger, reader: Reader) -> None:
    """EditError when the ledger was begun on another file: its keys would not be this one's."""
    base = ledger.header["base"]
    if base != reader.identity.weights:
        raise EditError(
            f"the ledger was begun on another model file (hash {base[:12]}, this one is "
            f"{reader.identity.weights[:12]}); open the file it names, or move the ledger: "
            f"homezoo edit rebase {ledger.path} MODEL"
        )
    tokenizer = ledger.header.get("tokenizer", reader.vocabulary)
    if tokenizer != reader.vocabulary:
        raise EditError(
            f"the model has the ledger's weights but another vocabulary (hash "
            f"{reader.vocabulary[:12]}, the ledger's {tokenizer[:12]}); open the ledger's own file"
        )


def complete(
    ledger: Ledger,
    reader: Reader,
    profile: Profile,
    relations: Relations,
    progress: Progress | None = None,
    spent: Spent | None = None,
) -> list[Unit]:
    """All units of the active facts, in order of their ids; new ones are stored as they come."""
    check_base(ledger, reader)
    plans = plan_facts(reader, [e.fact for e in ledger.active()], profile, relations)
    ids = list(owners_of(plans))
    there = {unit.fact for unit in ledger.units(ids, profile.units_id)}
    missing = {n: [plan for plan in some if plan.id not in there] for n, some in plans.items()}
    compute(ledger, reader, profile, missing, progress, spent)
    return ledger.units(ids, profile.units_id)


@dataclass(frozen=True, eq=False)
class Assembled:
    """A ledger's active facts as an adapter."""

    adapter: Adapter
    units: list[Unit]
    capacity: Capacity
    spent: Spent = field(default_factory=Spent)
    compacted: Compacted | None = None


def assemble(
    ledger: Ledger,
    reader: Reader,
    measured: Measured,
    relations: Relations,
    force: bool = False,
    multiple: int = 1,
    progress: Progress | None = None,
    small: bool = False,
) -> Assembled:
    """The adapter of all active facts; units that the ledger lacks are found first.

    Without active facts it changes nothing. With `small` its rank is lowered as far as the facts
    bear it. EditError above the capacity, unless `force`.
    """
    profile = measured.profile
    facts = [entry.fact for entry in ledger.active()]
    spent = Spent()
    units = complete(ledger, reader, profile, relations, progress, spent)
    found = capacity(units, profile)
    found.check(force)
    with spent.on("solution"):
        updates = updates_of(reader, facts, units, measured, relations)
    compacted = None
    if small and profile.spread:
        raise OptionError(
            "--compact is for facts that are each in one layer; the profile spreads them"
        )
    if small and updates:
        compacted = compact_answers(reader, updates, units, measured, relations, facts)
        updates = compacted.updates
    updates = updates or no_change(profile, reader.model.config.width)
    settings = {key: value for key, value in asdict(profile).items() if key != "measured"}
    ledger.set_header(profile=json.dumps(settings, ensure_ascii=False))  # what it was built under
    adapter = make_adapter(
        updates, profile, reader.identity, ledger.digest(), len(facts),
        own_name(reader.file.metadata), multiple,
    )  # fmt: skip
    return Assembled(adapter, units, found, spent, compacted)


def compute(
    ledger: Ledger,
    reader: Reader,
    profile: Profile,
    plans: Mapping[int, Items[Plan]],
    progress: Progress | None = None,
    spent: Spent | None = None,
) -> None:
    """Units of plans by layer, stored group by group, so that a stop loses one group only."""
    total, done = sum(len(plan.facts) for some in plans.values() for plan in some), 0
    if not total:
        return
    from homezoo.edit.targets import find_units

    for layer, some in plans.items():
        start = done

        def tell(count: int, _: int, start: int = start) -> None:
            if progress is not None:
                progress("keys and residuals", start + count, total)

        for units in find_units(reader, some, layer, profile.search, profile.units_id, tell, spent):
            ledger.store(units)
        done += sum(len(plan.facts) for plan in some)
