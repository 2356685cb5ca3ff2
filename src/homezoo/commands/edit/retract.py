"""`homezoo edit retract`: ends facts of a ledger, exactly."""

from homezoo.commands.edit.change import change
from homezoo.commands.edit.options import (
    ConflictOption,
    DryRunOption,
    FactsArgument,
    InverseOption,
    LanguageOption,
    LedgerArgument,
    QueryOption,
)
from homezoo.edit.ledger import Ledger

DETAILS = (
    "What is built afterwards is what would have been built had the facts never been noted; when "
    "none is left, the base answers, bit for bit."
)


def command(
    ledger: LedgerArgument,
    facts: FactsArgument,
    query: QueryOption = None,
    language: LanguageOption = "en",
    on_conflict: ConflictOption = "error",
    inverse: InverseOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Says what was ended."""
    with Ledger.open(ledger) as opened:
        change(opened, facts, "retract", query, language, on_conflict, inverse, dry_run)
