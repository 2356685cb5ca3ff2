"""`homezoo adapter convert`: a PEFT folder to a GGUF adapter, or the other way."""

from pathlib import Path
from typing import Annotated

import typer

from homezoo.commands.adapters import open_adapter
from homezoo.commands.model_path import find_model
from homezoo.errors import OptionError
from homezoo.formats.adapter_file import Adapter, write_adapter
from homezoo.formats.adapter_origin import check_base, identify_base
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.config import ModelConfig
from homezoo.models.load import load_model
from homezoo.run.adapters import AttachedAdapters
from homezoo.zoo.peft_write import write_peft

DETAILS = (
    "From a folder a .gguf file is made, which llama.cpp opens with --lora; from a .gguf file a "
    "folder, which PEFT opens beside the original model. GGUF files of LLaMA and BLOOM have the "
    "rows of some weights in another order; the deltas follow."
)

SourceArgument = Annotated[Path, typer.Argument(metavar="ADAPTER", help="a folder or .gguf file")]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="OUT", help="the .gguf file or folder to write")
]
BaseOption = Annotated[
    str, typer.Option("--model", metavar="MODEL", help="the .gguf file of the base")
]
HubOption = Annotated[
    str | None,
    typer.Option(
        "--base-name", metavar="OWNER/NAME", help="the original model that a folder is to name"
    ),
]


def command(
    adapter: SourceArgument, out: OutOption, model: BaseOption, base_name: HubOption = None
) -> None:
    """Checks that the adapter fits the model, then writes the other form."""
    source, target = adapter.expanduser(), out.expanduser()
    with GGUFFile.open(find_model(model)) as file:
        config = ModelConfig.from_metadata(file.metadata, file.tensors)
        opened = open_adapter(source, config)
        AttachedAdapters(load_model(file)).attach(source.name, opened, 1.0)  # names and shapes
        warning = check_base(source.name, opened.metadata, identify_base(file.tensors))
        named = base_name or _base_name(opened, file)
    if source.is_dir():
        if target.suffix != ".gguf":
            raise OptionError(f"{target}: from a folder a .gguf file is made; name one")
        write_adapter(target, opened)
    else:
        write_peft(target, opened, config, named)
    if warning:
        typer.echo(f"warning: {warning}", err=True)
    print(f"{target}: {len(opened.deltas)} weights, {opened.parameters:,} numbers")


def _base_name(adapter: Adapter, file: GGUFFile) -> str:
    """owner/name of the original model as the adapter or the base has it, else the base's name."""
    for metadata in (adapter.metadata, file.metadata):
        address = metadata.get("general.base_model.0.repo_url")
        if isinstance(address, str) and "huggingface.co/" in address:
            return address.partition("huggingface.co/")[2].strip("/")
    for metadata in (adapter.metadata, file.metadata):
        name = metadata.get("general.base_model.0.name") or metadata.get("general.name")
        if isinstance(name, str):
            return name
    return file.path.stem
