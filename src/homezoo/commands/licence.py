"""`homezoo licence`: what a model is made of, and what its licences permit together."""

import json
from pathlib import Path
from typing import Any

from homezoo.commands.model_path import find_card, find_model
from homezoo.commands.options import JsonOption, ModelArgument
from homezoo.commands.table import print_table
from homezoo.commands.terminal import clean, note
from homezoo.errors import CheckpointError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.zoo.licence import report
from homezoo.zoo.lineage import trace
from homezoo.zoo.model_card import read_card

DETAILS = """\
Read from the file's own metadata, the model card beside it, and a table of well-known licences.
The strictest of the chain counts; what is unknown is said to be unknown."""


def command(model: ModelArgument, as_json: JsonOption = False) -> None:
    """Prints the chain and the answers, or with --json one object."""
    path = find_model(model)
    with GGUFFile.open(path) as file:
        metadata = {key: file.metadata[key] for key in file.metadata if key.startswith("general.")}
    found = {"file": str(path), **report(trace(metadata, _card(path), path.stem))}
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _print(found)


def _card(path: Path) -> dict[str, Any]:
    """The facts of the model's card; of one that cannot be read a warning is all."""
    try:
        return read_card(find_card(path))
    except CheckpointError as error:
        note(f"warning: what the model card states is not in the answer: {error}")
        return {}


def _print(found: dict[str, Any]) -> None:
    rows = [
        (
            link["role"],
            link["name"],
            link["licence_name"] or link["stated"] or "unknown",
            link["stated_by"] or "nobody",
        )
        for link in found["chain"]
    ]
    print_table(("PART", "NAME", "LICENCE", "STATED BY"), rows)
    print()
    answers = [
        (use, answer, ", ".join(found["because"][use])) for use, answer in found["permits"].items()
    ]
    print_table(("USE", "PERMITTED", "BECAUSE OF"), answers)
    if found["obligations"]:
        print("\nobligations")
        for obligation in found["obligations"]:
            print(f"  - {obligation}")
    sources = dict.fromkeys(link["source"] for link in found["chain"] if link["source"])
    if sources:
        print("\nsources")
        for source in sources:
            print(f"  {clean(source)}")
    print(f"\n{found['note']}")
