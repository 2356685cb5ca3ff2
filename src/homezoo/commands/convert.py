"""`homezoo convert`: a Hugging Face folder to one GGUF file."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from homezoo.commands.options import JsonOption
from homezoo.commands.terminal import clean, note
from homezoo.zoo.convert import convert

DETAILS = (
    "Reads safetensors (one file or many), tokenizer and chat template, and keeps the licence and "
    "the origin that the model card states. The new file must load, and its tokenizer must give "
    "the same ids as the folder's own, before it gets its name."
)

FolderArgument = Annotated[
    Path, typer.Argument(metavar="HF_DIR", help="the folder of a Hugging Face model")
]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="OUT.gguf", help="the file to write")
]
TypeOption = Annotated[
    str | None,
    typer.Option("--type", help="F32, F16 or BF16; without it, the type that the weights have"),
]


def command(
    folder: FolderArgument, out: OutOption, type: TypeOption = None, as_json: JsonOption = False
) -> None:
    """Writes the file with a progress bar on standard error, then says what it is."""
    with progress_bar() as progress:
        made = convert(folder.expanduser(), out.expanduser(), type, progress)
    for text in made.notes:
        note(f"note: {clean(text)}")
    if as_json:
        print(json.dumps(asdict(made) | {"path": str(made.path)}))
    else:
        print(
            f"{made.path}: {made.architecture}, {made.parameters:,} parameters, "
            f"{made.tensors} tensors in {made.type}, {made.bytes:,} bytes"
        )


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """A function that shows what is written and how much of all; None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("writing", total=None)
        yield lambda name, done, total: bar.update(
            task, description=clean(name), completed=done, total=total
        )
