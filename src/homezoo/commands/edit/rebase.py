"""`homezoo edit rebase`: binds a ledger to another base, such as another quantisation."""

from homezoo.commands.edit.options import (
    DryRunOption,
    LedgerArgument,
    RelationsOption,
    header_of,
    open_reader,
    relations_of,
)
from homezoo.commands.options import ModelArgument, ThreadsOption
from homezoo.edit.ask import Asker
from homezoo.edit.grade import known_facts
from homezoo.edit.ledger import Ledger
from homezoo.edit.profile import load_profile, profile_folder
from homezoo.errors import EditError, OptionError

DETAILS = (
    "Facts, their sources and the history stay. Keys and residuals are those of the old base, so "
    "they are forgotten; the next `homezoo edit build` finds them on the new one. An adapter that "
    "was built before is one for the old base, and is refused on the new one."
)


def command(
    ledger: LedgerArgument,
    model: ModelArgument,
    relations: RelationsOption = None,
    dry_run: DryRunOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Says what the new base knows already, and what comes next."""
    with Ledger.open(ledger) as opened, open_reader(model, threads) as reader:
        entries = relations_of(relations, opened)
        facts = [entry.fact for entry in opened.active()]
        for fact in facts:  # before anything changes: can each be said in this one's tokens?
            for target in fact.objects:
                try:
                    reader.answer(fact.prompt(entries.of(fact.predicate).edit), target)
                except OptionError as error:
                    raise EditError(
                        f"{fact.name!r} cannot be edited into {model}: {error}"
                    ) from None
        header = header_of(reader, model)
        old = opened.header["base"]
        if header["base"] == old:
            raise EditError(f"{ledger} is on this very file already (hash {old[:12]})")
        known = len(known_facts(reader, facts, entries, Asker(reader)))
        gone = 0 if dry_run else opened.rebase(header)
    print(f"{len(facts)} facts are active; {known} of them the new base answers right by itself")
    if dry_run:
        print("nothing was changed")
        return
    print(
        f"{ledger} is on {header['path']} now; {gone} keys and residuals of the old base are gone"
    )
    try:
        load_profile(profile_folder(header["base"]))
        print("next: homezoo edit build")
    except EditError:
        print("next: homezoo edit profile, then homezoo edit build")
