"""`homezoo edit log`: the history of a ledger."""

import json

from homezoo.commands.edit.options import LedgerArgument
from homezoo.commands.options import JsonOption
from homezoo.commands.terminal import clean
from homezoo.edit.ledger import Ledger


def command(ledger: LedgerArgument, as_json: JsonOption = False) -> None:
    """One line for each event, oldest first."""
    with Ledger.open(ledger) as opened:
        events, header, active = opened.events(), opened.header, len(opened.active())
    if as_json:
        rows = [dict(zip(("time", "action", "what"), event, strict=True)) for event in events]
        print(json.dumps({"base": header["base"], "active": active, "events": rows}))
        return
    print(f"base {header.get('path', '')} (hash {header['base'][:12]}), {active} facts active")
    for time, action, what in events:
        print(clean(f"{time}  {action:<10}{what}"))
