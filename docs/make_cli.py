"""Writes docs/cli.md from the commands themselves; with --check only says whether it is current."""

import sys
from pathlib import Path
from typing import Any

from homezoo.commands.main import leaves, make_command

PAGE = Path(__file__).with_name("cli.md")
HEAD = """\
# Commands

Made by `make docs` from the commands' own options; a test keeps it current. `zoo` is another name
of `homezoo`. Exit status: 0 for success, 1 for an error (one line on standard error), 2 for a wrong
command line, 130 after Ctrl-C. `HOMEZOO_DEBUG=1` shows where an error came from.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(section(word) for word in leaves())


def section(word: str) -> str:
    """One command: its help and a table of its arguments and options."""
    command = make_command(word)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join(["homezoo", word, *map(usage_of, arguments), "[OPTIONS]"])
    rows = [row(parameter) for parameter in command.params]
    table = "\n".join(["| option | default | meaning |", "|---|---|---|", *rows])
    return f"\n## {word}\n\n{command.help}\n\n`{usage}`\n\n{table}\n"


def usage_of(argument: Any) -> str:
    """`MODEL`, or `[PROMPT]` when it may be left out."""
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def row(parameter: Any) -> str:
    """The line of the table for one argument or option."""
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
    else:
        name = ", ".join([*parameter.opts, *parameter.secondary_opts])
        if not parameter.is_flag:
            name += f" {parameter.metavar or 'VALUE'}"
    default = getattr(parameter.default, "value", parameter.default)
    plain = isinstance(default, int | float | str) and not isinstance(default, bool)
    cells = f"`{name}`", f"`{default}`" if plain else "", parameter.help
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    """Writes the page, or with --check compares; exit status 1 when it is not current."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text("utf-8") == page():
        return 0
    print("docs/cli.md is not current; run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
