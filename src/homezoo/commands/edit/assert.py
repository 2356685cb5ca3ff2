"""`homezoo edit assert`: notes facts; nothing is computed until `edit build`."""

from homezoo.commands.edit.change import noting

DETAILS = (
    "A fact with another object replaces what was noted for its subject and predicate; a table may "
    "have a column op that says assert, retract or suppress. A ledger that is not there is begun, "
    "for the model that --model names."
)

command = noting("assert")
