"""`homezoo edit suppress`: notes facts; nothing is computed until `edit build`."""

from homezoo.commands.edit.change import noting

DETAILS = (
    "The model is edited to say the relation's neutral answer instead. This is suppression, not "
    "erasure: what a model has learned stays in its weights."
)

command = noting("suppress")
