"""`homezoo edit assert`: notes facts; nothing is computed until `edit build`."""

from homezoo.commands.edit.change import change, open_or_begin
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
)

DETAILS = (
    "A fact with another object replaces what was noted for its subject and predicate; a table may "
    "have a column op that says assert, retract or suppress. A ledger that is not there is begun, "
    "for the model that --model names."
)


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
        change(opened, facts, "assert", query, language, on_conflict, inverse, dry_run)
