"""Tables for people: coloured columns in a terminal, plain ones in a pipe."""

import sys
from collections.abc import Sequence

from homezoo.commands.terminal import clean

Row = Sequence[str]


def print_table(heads: Row, rows: Sequence[Row], right: Sequence[int] = ()) -> None:
    """Rows under their heads; the columns numbered in `right` are set flush right."""
    cells = [[clean(cell).replace("\n", " ") for cell in row] for row in rows]
    if not sys.stdout.isatty():
        widths = [max(len(row[n]) for row in [heads, *cells]) for n in range(len(heads))]
        for row in [heads, *cells]:
            padded = [
                f"{cell:>{width}}" if n in right else f"{cell:<{width}}"
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print("  ".join(padded).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for n, head in enumerate(heads):
        style = "cyan" if n == 0 else ""
        table.add_column(
            head, style=style, justify="right" if n in right else "left", overflow="fold"
        )
    for row in cells:
        table.add_row(*(Text(cell, _colour(cell)) for cell in row))
    Console(highlight=False).print(table)


def _colour(cell: str) -> str:
    """Answers are seen before they are read."""
    first = cell.split(maxsplit=1)[0].rstrip(":,") if cell.split() else ""
    return {"yes": "green", "no": "red", "unknown": "yellow", "conditions": "yellow"}.get(first, "")
