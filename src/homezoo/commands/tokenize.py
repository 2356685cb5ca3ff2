"""`homezoo tokenize`: the tokens of a text, as ids for programs or as a table for people."""

import sys
from typing import Annotated

import typer

from homezoo.commands.model_path import find_model
from homezoo.commands.options import ModelArgument
from homezoo.commands.terminal import read_input, warn
from homezoo.formats.gguf_read import GGUFFile
from homezoo.text.tokenizer import Tokenizer

DETAILS = "Text is taken from standard input exactly, its last line break included."

TextArgument = Annotated[
    str | None, typer.Argument(help="standard input without it", show_default=False)
]
IdsOption = Annotated[bool, typer.Option("--ids", help="print the ids alone, on one line")]
BosOption = Annotated[
    bool, typer.Option("--bos", help="put the token that begins a text before it")
]
SpecialOption = Annotated[
    bool, typer.Option("--special", help="names of control tokens are those tokens")
]

# Each token has the next colour, so that neighbours differ.
COLOURS = ("cyan", "green", "yellow", "magenta", "blue")


def command(
    model: ModelArgument,
    text: TextArgument = None,
    ids: IdsOption = False,
    bos: BosOption = False,
    special: SpecialOption = False,
) -> None:
    """Reads the vocabulary alone: a file without weights will do."""
    with GGUFFile.open(find_model(model)) as file:
        tokenizer = Tokenizer.from_metadata(file.metadata)
        warn(tokenizer.warnings)
        given = read_input("text") if text is None else text
        tokens = tokenizer.encode(given, bos=bos, special=special)
        if ids:
            print(*tokens)
        elif sys.stdout.isatty():
            _print_coloured(tokenizer, tokens)
        else:
            for token in tokens:
                print(f"{token}\t{_piece(tokenizer, token)}")


def _piece(tokenizer: Tokenizer, token: int) -> str:
    """A token's text in quotes; bytes that are no whole character as escapes."""
    raw = tokenizer.token_bytes(token)
    try:
        return repr(raw.decode())
    except UnicodeDecodeError:
        return repr(raw)


def _print_coloured(tokenizer: Tokenizer, tokens: list[int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("id", justify="right")
    table.add_column("piece")
    for place, token in enumerate(tokens):
        colour = COLOURS[place % len(COLOURS)]
        table.add_row(str(token), Text(_piece(tokenizer, token), colour))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"{len(tokens)} tokens", style="dim")
