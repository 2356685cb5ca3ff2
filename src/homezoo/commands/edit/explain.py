"""`homezoo edit explain`: which facts of a ledger answer a prompt."""

import json
from typing import Annotated, Any

import typer

from homezoo.commands.edit.options import (
    LedgerArgument,
    ProfileOption,
    open_reader,
    profile_of,
    relations_of,
)
from homezoo.commands.options import JsonOption, ModelArgument, ThreadsOption
from homezoo.commands.terminal import clean
from homezoo.edit.build import explain
from homezoo.edit.complete import check_base
from homezoo.edit.ledger import Ledger
from homezoo.edit.plans import owners_of, plan_facts
from homezoo.edit.spread import in_every_layer, updates_of
from homezoo.errors import EditError

DETAILS = (
    "For each token of the prompt: how strongly each edited fact adds its value there. A fact that "
    "answers stands at about the length of its residual; what is far below the first is noise."
)
SHOWN = 5

PromptArgument = Annotated[str, typer.Argument(metavar="PROMPT", help="text, as it would be asked")]


def command(
    model: ModelArgument,
    ledger: LedgerArgument,
    prompt: PromptArgument,
    profile: ProfileOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """The strongest facts, each with the token at which it speaks loudest."""
    from homezoo.edit.passes import first_pass

    with Ledger.open(ledger) as opened, open_reader(model, threads) as reader:
        check_base(opened, reader)
        measured = profile_of(reader, profile)
        entries = {entry.fact.key: entry for entry in opened.active()}
        facts, relations = [e.fact for e in entries.values()], relations_of(None, opened)
        plans = plan_facts(reader, facts, measured.profile, relations)
        owners = owners_of(plans)
        units = opened.units(owners, measured.profile.units_id)
        if not units:
            raise EditError("no active fact has been built yet; run: homezoo edit build")
        updates = updates_of(reader, facts, units, measured, relations)
        units = in_every_layer(units, measured.profile)
        ids = reader.prompt(prompt)
        weights = {layer: reader.weight(layer) for layer in updates}
        seen = first_pass(
            reader.model, [ids], reader.products, watched=list(weights.values()),
            stop=max(updates) + 1,
        )  # fmt: skip
        best: dict[str, tuple[float, str]] = {}
        for place, id in enumerate(ids):
            keys = {n: seen.inputs[weight][place].numpy() for n, weight in weights.items()}
            for share in explain(updates, units, keys):
                if share.weight > best.get(share.fact, (0.0, ""))[0]:
                    best[share.fact] = (share.weight, reader.text([id]))
    ranked = sorted(best.items(), key=lambda item: -item[1][0])[:SHOWN]
    rows: list[dict[str, Any]] = [
            {"weight": weight, "token": token, "subject": fact.name, "predicate": fact.predicate,
             "objects": list(fact.objects), "source": fact.source,
             "added": entries[fact.key].added}
            for owner, (weight, token) in ranked for fact in owners[owner]]  # fmt: skip
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        said = f"{row['subject']} <{row['predicate']}> {', '.join(row['objects'])}"
        print(clean(f"{row['weight']:8.3f} at {row['token']!r}: {said} [{row['source']}]"))
