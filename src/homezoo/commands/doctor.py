"""`homezoo doctor`: looks for the silent faults that make good models answer badly."""

import json
import shutil
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from homezoo.commands.model_path import find_model
from homezoo.commands.options import JsonOption, ModelArgument, ThreadsOption
from homezoo.commands.perplexity import negative_log_likelihoods
from homezoo.commands.terminal import clean
from homezoo.errors import HomezooError

DETAILS = (
    "It checks the tokenizer (ids, types of special tokens, texts that must come back), the chat "
    "template (ends of turns, the beginning of an answer, a text begun twice), every number of "
    "every tensor, sizes in the metadata against the tensors, and how well the model predicts "
    "plain English. The exit status is 1 when something was found. --fix writes a copy with "
    "corrected metadata; tensors stay as they are."
)

FixOption = Annotated[
    Path | None,
    typer.Option("--fix", metavar="OUT.gguf", help="write a copy with what can be mended"),
]
FAULT_STATUS = 1


def command(
    model: ModelArgument,
    fix: FixOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints what was found; nothing but that line when nothing was."""
    from homezoo.formats.gguf_read import GGUFFile
    from homezoo.zoo.doctor import examine, repairs, write_fixed
    from homezoo.zoo.finding import Finding

    path = find_model(model)
    changes: dict[str, Any] = {}
    written = None
    try:
        with GGUFFile.open(path) as file:
            found = examine(file, lambda text: _perplexity(path, text, threads))
            changes = repairs(found)
            if fix is not None and changes:
                write_fixed(file, changes, fix)
                written = fix
    except HomezooError as error:
        if fix is not None and written is None and changes:
            raise
        found = [
            Finding("file", str(error), "nothing can run it", "fetch it again, or another file")
        ]
    if as_json:
        listed = [asdict(f) | {"fix": sorted(f.fix)} for f in found]
        fixed = None if written is None else str(written)
        print(json.dumps({"model": str(path), "findings": listed, "fixed": fixed}))
    else:
        _print(path, found, changes, fix, written)
    if found:
        raise typer.Exit(FAULT_STATUS)


def _print(
    path: Path, found: list[Any], changes: dict[str, Any], fix: Path | None, written: Path | None
) -> None:
    if not found:
        print(f"{path.name}: nothing found")
        return
    print(f"{path.name}: {len(found)} finding{'s' * (len(found) > 1)}")
    for finding in found:
        print()
        _print_wrapped(f"  {finding.check}: ", finding.what, 4)
        _print_wrapped("    leads to   ", finding.leads_to)
        mark = "  (--fix does this)" if finding.fix else ""
        _print_wrapped("    repair     ", finding.repair + mark)
    if written is not None:
        print(f"\nwritten: {written}, with {', '.join(sorted(changes))} changed")
    elif fix is not None:
        print("\nnothing was written: no change of metadata mends this")


def _print_wrapped(label: str, text: str, indent: int | None = None) -> None:
    """Between words at the terminal's width, the rest below the text; one line elsewhere."""
    line = label + clean(text)
    if not sys.stdout.isatty():
        print(line)
        return
    below = " " * (len(label) if indent is None else indent)
    width = shutil.get_terminal_size().columns
    print(textwrap.fill(line, width, subsequent_indent=below, break_long_words=False))


def _perplexity(path: Path, text: str, threads: int | None) -> float:
    """Of a short text, every token but the first counted."""
    from homezoo.run.model import Model

    with Model.open(path, threads=threads, context=512) as model:
        ids = model.encode_prompt(text)
        losses = negative_log_likelihoods(model.logits(ids)[:-1], np.array(ids[1:]))
    return float(np.exp(min(losses.mean(), 700.0)))
