"""`homezoo adapter info`: what an adapter changes, and where it comes from."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.commands.adapters import open_adapter
from homezoo.commands.model_path import find_model
from homezoo.commands.options import JsonOption
from homezoo.commands.terminal import clean
from homezoo.errors import OptionError
from homezoo.formats.adapter_file import Adapter
from homezoo.formats.adapter_origin import (
    DATA_LICENCE_KEY,
    MODEL_KEY,
    TEMPLATE_KEY,
    WEIGHTS_KEY,
    check_base,
    identify_base,
    read_settings,
)
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.config import ModelConfig
from homezoo.models.load import load_model

DETAILS = "With --model also whether it is for that model, and what it changes of it."

AdapterArgument = Annotated[
    Path, typer.Argument(metavar="ADAPTER", help="a .gguf file, or with --model a PEFT folder")
]
BaseOption = Annotated[
    str | None, typer.Option("--model", metavar="MODEL", help="the model that it is for")
]


def command(
    adapter: AdapterArgument, model: BaseOption = None, as_json: JsonOption = False
) -> None:
    """Prints the facts, or with --json one object."""
    path = adapter.expanduser()
    if model is None:
        if path.is_dir():
            raise OptionError(f"{path} is a folder; the rows of its weights need --model MODEL")
        found = describe(path, open_adapter(path, None))
    else:
        with GGUFFile.open(find_model(model)) as file:
            config = ModelConfig.from_metadata(file.metadata, file.tensors)
            opened = open_adapter(path, config)
            found = describe(path, opened) | compare(path, opened, file)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _print(found)


def describe(path: Path, adapter: Adapter) -> dict[str, Any]:
    """What an adapter says of itself, ready for JSON."""
    ranks = sorted({adapter.rank_of(name) for name in adapter.deltas})
    kinds = sorted({name.rpartition(".")[2] for name in adapter.deltas})
    layers = sorted({int(name.split(".")[1]) for name in adapter.deltas if name.startswith("blk.")})
    data = adapter.metadata
    return {
        "path": str(path),
        "architecture": adapter.architecture,
        "ranks": ranks,
        "alpha": adapter.alpha,
        "weights": len(adapter.deltas),
        "kinds": kinds,
        "layers": layers,
        "parameters": adapter.parameters,
        "bytes": 4 * adapter.parameters,
        "name": data.get("general.name"),
        "base": data.get("general.base_model.0.name"),
        "base_hash": data.get(WEIGHTS_KEY),
        "base_model_hash": data.get(MODEL_KEY),
        "data": data.get("general.dataset.0.name"),
        "data_licence": data.get(DATA_LICENCE_KEY),
        "licence": data.get("general.license"),
        "template": data.get(TEMPLATE_KEY),
        "settings": read_settings(data),
    }


def compare(path: Path, adapter: Adapter, file: GGUFFile) -> dict[str, Any]:
    """Whether it is for this model; AdapterError when it was made for another."""
    from homezoo.run.adapters import AttachedAdapters

    model = load_model(file)
    AttachedAdapters(model).attach(path.name, adapter, 1.0)  # checks names and shapes
    warning = check_base(path.name, adapter.metadata, identify_base(file.tensors))
    if warning:
        fit = "another file of the same model, perhaps another quantisation"
    else:
        fit = "this very file" if WEIGHTS_KEY in adapter.metadata else "fits; it names no base"
    share = adapter.parameters / sum(tensor.rows * tensor.width for tensor in file.tensors.values())
    return {"fit": fit, "share_of_model": share}


def _print(found: dict[str, Any]) -> None:
    layers = found["layers"]
    span = f" in {len(layers)} layers, {layers[0]} to {layers[-1]}" if layers else ""
    alpha = f"alpha {found['alpha']:g}" if found["alpha"] else "scale 1"
    share = f", {found['share_of_model']:.2%} of the model" if "share_of_model" in found else ""
    lines = {
        "name": found["name"],
        "for": found["architecture"],
        "changes": f"{found['weights']} weights{span}: {', '.join(found['kinds'])}",
        "rank": f"{', '.join(map(str, found['ranks']))}; {alpha}",
        "size": f"{found['parameters']:,} numbers, {found['bytes']:,} bytes as F32{share}",
        "base": found["base"],
        "base hash": found["base_hash"] or "not stated, so only names and shapes can be checked",
        "model": found.get("fit"),
        "data": found["data"],
        "data licence": found["data_licence"],
        "licence": found["licence"],
        "template": found["template"],
        "settings": ", ".join(f"{key} {value}" for key, value in found["settings"].items()),
    }
    for label, text in lines.items():
        if text:
            print(f"{label:<13}{clean(str(text))}")
