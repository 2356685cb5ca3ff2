"""Finds keys and residuals of a ledger's active facts that it does not hold yet, and keeps them."""

from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import dataclass, replace

from homezoo.edit.build import Capacity, capacity, make_adapter, missing_units, solve_units
from homezoo.edit.fact_record import Unit, fact_id
from homezoo.edit.facts import Fact
from homezoo.edit.ledger import Ledger
from homezoo.edit.profile import Measured, Profile
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.sites import Plan, plan
from homezoo.errors import EditError
from homezoo.formats.adapter_file import Adapter

Progress = Callable[[str, int, int], None]


def check_base(ledger: Ledger, reader: Reader) -> None:
    """EditError when the ledger was begun on another file: its keys would not be this one's."""
    base = ledger.header["base"]
    if base != reader.identity.weights:
        raise EditError(
            f"the ledger was begun on another model file (hash {base[:12]}, this one is "
            f"{reader.identity.weights[:12]}); open the file it names, or begin a new ledger"
        )


def plan_facts(
    reader: Reader, facts: Items[Fact], profile: Profile, relations: Relations
) -> list[Plan]:
    """Where each fact is to be written; what is suppressed is edited towards the neutral answer."""
    plans = []
    for fact in facts:
        relation = relations.of(fact.predicate)
        templates, _ = relation.split(profile.templates)
        wanted = fact
        if fact.operation == "suppress":
            wanted = replace(fact, objects=(relation.neutral,))
        made = plan(reader, wanted, templates, profile.position, profile.contexts)
        plans.append(replace(made, fact=fact))  # its id is that of the wish
    return plans


def complete(
    ledger: Ledger,
    reader: Reader,
    profile: Profile,
    relations: Relations,
    progress: Progress | None = None,
) -> list[Unit]:
    """All units of the active facts, in order of their ids; new ones are stored as they come."""
    check_base(ledger, reader)
    entries = ledger.active()
    ids = [entry.id for entry in entries]
    held = ledger.units(ids, profile.units_id)
    missing = missing_units([entry.fact for entry in entries], held)
    if missing:
        compute(ledger, reader, profile, relations, missing, progress)
    return ledger.units(ids, profile.units_id)


@dataclass(frozen=True, eq=False)
class Assembled:
    """A ledger's active facts as an adapter."""

    adapter: Adapter
    units: list[Unit]
    capacity: Capacity


def assemble(
    ledger: Ledger,
    reader: Reader,
    measured: Measured,
    relations: Relations,
    force: bool = False,
    multiple: int = 1,
    progress: Progress | None = None,
) -> Assembled:
    """The adapter of all active facts; units that the ledger lacks are found first.

    EditError above the capacity (unless `force`), and when no fact is active.
    """
    profile = measured.profile
    facts = [entry.fact for entry in ledger.active()]
    units = complete(ledger, reader, profile, relations, progress)
    found = capacity(units, profile)
    found.check(force)
    updates = solve_units(units, measured, [fact.key for fact in facts])
    name = reader.file.metadata.get("general.name")
    adapter = make_adapter(
        updates, profile, reader.identity, ledger.digest(), len(facts),
        name if isinstance(name, str) else None, multiple,
    )  # fmt: skip
    return Assembled(adapter, units, found)


def compute(
    ledger: Ledger,
    reader: Reader,
    profile: Profile,
    relations: Relations,
    facts: Items[Fact],
    progress: Progress | None = None,
) -> None:
    """Units of some facts, stored group by group, so that a stop loses one group only."""
    from homezoo.edit.targets import find_units

    done = 0
    for layer in profile.layers:
        here = [fact for fact in facts if profile.layer_of(fact_id(fact)) == layer]
        plans = plan_facts(reader, here, profile, relations)
        start = done

        def tell(count: int, _: int, start: int = start) -> None:
            if progress is not None:
                progress("keys and residuals", start + count, len(facts))

        for units in find_units(reader, plans, layer, profile.search, profile.units_id, tell):
            ledger.store(units)
        done += len(here)
