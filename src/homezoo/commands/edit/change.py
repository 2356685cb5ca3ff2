"""What `homezoo edit assert`, `retract` and `suppress` share."""

from collections.abc import Callable
from pathlib import Path

from homezoo.commands.edit.options import (
    BaseOption,
    ConflictOption,
    DryRunOption,
    FactsArgument,
    InverseOption,
    LanguageOption,
    LedgerArgument,
    QueryOption,
    RelationsOption,
    facts_of,
    header_of,
    open_reader,
    relations_of,
)
from homezoo.commands.terminal import clean
from homezoo.edit.ledger import Changes, Ledger
from homezoo.errors import EditError


def open_or_begin(path: Path, model: str | None, relations: Path | None) -> Ledger:
    """The ledger, begun anew for a model when there is none; keeps the relation file given."""
    if path.is_file() or model is None:
        ledger = Ledger.open(path)
    else:
        with open_reader(model, None) as reader:
            header = header_of(reader, model)
        ledger = Ledger.create(path, header)
    if relations is not None:
        relations_of(relations)  # checked before it is kept
        ledger.set_header(relations=relations.read_text("utf-8"))
    return ledger


def change(
    ledger: Ledger,
    facts: Path,
    operation: str,
    query: str | None,
    language: str,
    on_conflict: str,
    inverse: bool,
    dry_run: bool,
) -> None:
    """Reads the facts and notes them; says what changed."""
    known = relations_of(None, ledger)
    wanted = facts_of(facts, known, operation, query, language, on_conflict, inverse)
    if dry_run:
        for fact in wanted:
            print(
                clean(f"{fact.operation} {fact.name} <{fact.predicate}> {', '.join(fact.objects)}")
            )
        print(f"{len(wanted)} facts; nothing was changed")
        return
    changes = ledger.retract(wanted) if operation == "retract" else ledger.record(wanted)
    print("\n".join(summary(changes)))
    print(f"{len(ledger.active())} facts are active in {ledger.path}; next: homezoo edit build")


def noting(operation: str) -> Callable[..., None]:
    """The command of a word that notes facts, such as assert."""

    def command(
        ledger: LedgerArgument,
        facts: FactsArgument,
        model: BaseOption = None,
        relations: RelationsOption = None,
        query: QueryOption = None,
        language: LanguageOption = "en",
        on_conflict: ConflictOption = "error",
        inverse: InverseOption = False,
        dry_run: DryRunOption = False,
    ) -> None:
        """Says what was noted."""
        with open_or_begin(ledger, model, relations) as opened:
            change(opened, facts, operation, query, language, on_conflict, inverse, dry_run)

    return command


def summary(changes: Changes) -> list[str]:
    """What one call did, for people."""
    parts = {
        "noted": changes.added,
        "replaced an earlier wish": changes.superseded,
        "retracted": changes.retracted,
        "there already": changes.unchanged,
    }
    found = [f"{len(facts)} {name}" for name, facts in parts.items() if facts]
    if not found:
        raise EditError("nothing to do: the file has no facts")
    return [", ".join(found)]
