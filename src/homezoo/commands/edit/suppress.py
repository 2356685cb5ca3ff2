"""`homezoo edit suppress`: notes facts; nothing is computed until `edit build`."""

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
    "The model is edited to say the relation's neutral answer instead. This is suppression, not "
    "erasure: what a model has learned stays in its weights."
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
        change(opened, facts, "suppress", query, language, on_conflict, inverse, dry_run)
