"""`homezoo list`: the models on this machine, wherever they are."""

import json
from typing import Annotated, Any

import typer

from homezoo.commands.info import show_bytes
from homezoo.commands.model_path import BUNDLED
from homezoo.commands.options import JsonOption
from homezoo.commands.table import print_table
from homezoo.commands.terminal import clean, note
from homezoo.errors import HomezooError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.zoo.catalog import Entry, find_entries
from homezoo.zoo.file_types import FILE_TYPES
from homezoo.zoo.licence import combine
from homezoo.zoo.lineage import trace
from homezoo.zoo.model_card import read_card

DETAILS = """\
Looks into the cache of the Hugging Face hub, ollama's store (OLLAMA_MODELS) and LM Studio's
folders. Each NAME can be given wherever a command takes a MODEL; the files are used where they
are."""

_FILE_TYPES = {number: name for name, number in FILE_TYPES.items()}

PathsOption = Annotated[bool, typer.Option("--paths", help="show where each file is")]


def command(as_json: JsonOption = False, paths: PathsOption = False) -> None:
    """Prints a table, or with --json one object."""
    models = [describe(entry) for entry in find_entries(BUNDLED)]
    if as_json:
        print(json.dumps({"models": models}, ensure_ascii=False))
        return
    rows = [
        (
            model["name"],
            model["architecture"] or "-",
            model["quantisation"] or "-",
            show_bytes(model["bytes"]),
            model["licence"] or "not stated",
            model["place"],
        )
        for model in models
    ]
    heads = ("NAME", "ARCHITECTURE", "QUANTISATION", "SIZE", "LICENCE", "WHERE")
    print_table(heads, rows, right=(3,))
    if paths:  # too long for a column: a line each, to be copied
        print()
        for model in models:
            print(clean(f"{model['name']}: {model['path']}"))
    for model in models:
        if model["problem"]:
            note(f"warning: {model['name']}: {model['problem']}")


def describe(entry: Entry) -> dict[str, Any]:
    """What the list says of a model; its file is opened, and what is wrong with it told."""
    found: dict[str, Any] = {
        "name": entry.name,
        "path": str(entry.path),
        "place": entry.place,
        "bytes": entry.bytes,
    }
    metadata: dict[str, Any] = {}
    card: dict[str, Any] = {}
    problem = None
    try:
        with GGUFFile.open(entry.path) as file:
            metadata = dict(_general(file))
        card = read_card(entry.card) if entry.card else {}
    except HomezooError as error:
        problem = str(error)
    chain = trace(metadata, card, entry.name)
    known = chain[-1].licence
    return found | {
        "quantisation": entry.quantisation
        or _FILE_TYPES.get(metadata.get("general.file_type", -1)),
        "architecture": metadata.get("general.architecture"),
        "licence": known.id if known else chain[-1].stated,
        "commercial": combine(chain).commercial.word,
        "problem": problem,
    }


def _general(file: GGUFFile) -> list[tuple[str, Any]]:
    """Metadata of a file but its large arrays."""
    return [(key, file.metadata[key]) for key in file.metadata if key.startswith("general.")]
