"""What goes to the terminal and comes from it: cleaned text, the prompt on standard input."""

import sys
from collections.abc import Sequence

from homezoo.errors import OptionError

_KEPT = "\n\t"  # control characters that only place text


def clean(text: str) -> str:
    """Text from a model or a file without control characters, which could take over a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _KEPT else _shown(c) for c in text)


def write(text: str) -> None:
    """Puts a piece of an answer on standard output at once; cleaned if that is a terminal."""
    sys.stdout.write(clean(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(text: str) -> None:
    """One line on standard error: what is not the answer."""
    print(text, file=sys.stderr)


def warn(warnings: Sequence[str]) -> None:
    """What a file says doubtfully, one line each on standard error."""
    for warning in warnings:
        note(f"warning: {warning}")


def read_input(what: str) -> str:
    """All of standard input as UTF-8 text, exactly; OptionError when it is something else."""
    if sys.stdin is None:
        raise OptionError(
            f"there is no standard input to read the {what} from; give it as argument"
        )
    if sys.stdin.isatty():
        note(f"type the {what}, then end it with Ctrl-D (Ctrl-Z and Enter on Windows)")
    source = getattr(sys.stdin, "buffer", None)
    if source is None:  # a text stream that a test or another program put there
        return sys.stdin.read()
    try:
        return str(source.read(), "utf-8")
    except UnicodeDecodeError as error:
        raise OptionError(f"the {what} is not UTF-8 text: byte {error.start} is wrong") from None


def _shown(character: str) -> str:
    """Other unprintable characters: spaces and marks of writing systems stay, controls do not."""
    code = ord(character)
    control = code < 32 or 127 <= code < 160
    return "\N{REPLACEMENT CHARACTER}" if control else character
