"""One line of warning when an opened model has a fault that is quick to see."""

from homezoo.commands.terminal import clean, note
from homezoo.errors import HomezooError
from homezoo.run.model import Model


def warn_of_faults(model: Model) -> None:
    """Says the first fault that `homezoo doctor` would find without reading weights."""
    from homezoo.zoo.doctor import quick_checks

    try:
        found = next(iter(quick_checks(model.metadata, model.tokenizer)), None)
    except HomezooError:
        return  # what is wrong will be said where it stops the work
    if found is not None:
        note(f"warning: {clean(found.line)}; see homezoo doctor")
