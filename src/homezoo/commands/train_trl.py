"""`homezoo train --engine trl`: a Hugging Face folder taught by TRL and brought back."""

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from homezoo.commands.model_path import licences_from
from homezoo.commands.terminal import clean, note
from homezoo.errors import OptionError
from homezoo.formats.adapter_file import write_adapter
from homezoo.formats.adapter_origin import identify_base, origin_keys, own_name
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.config import ModelConfig
from homezoo.train.data_files import read_data
from homezoo.train.options import TrainingOptions
from homezoo.train.trl_engine import train_with_trl
from homezoo.zoo.convert import convert
from homezoo.zoo.peft_read import read_peft

BAD_SHOWN = 20  # rows; the others are counted


def run_trl(
    base: str,
    data: Path,
    options: TrainingOptions,
    out: Path | None,
    gguf: Path | None,
    nf4: bool,
    licence: str | None,
    as_json: bool,
) -> None:
    """Trains, then writes an adapter or a model when `out` ends with .gguf, else a folder."""
    folder = Path(base).expanduser()
    if not (folder / "config.json").is_file():
        raise OptionError(f"--engine trl needs the folder of a Hugging Face model; {base} is none")
    if out is None:
        raise OptionError("say with -o what to write: a .gguf file, or a folder")
    if out.suffix == ".gguf" and not options.full and gguf is None:
        raise OptionError(
            "an adapter's rows stand in the order of a GGUF file: give with --gguf the file it is "
            "for, or with -o a folder"
        )
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as room:
        made = Path(room) / "made" if out.suffix == ".gguf" else out
        read = read_data(data)
        outcome, bad = train_with_trl(folder, read, options, made, nf4)
        for row in bad[:BAD_SHOWN]:
            note(clean(f"not used: {row.place} {row.reason}"))
        if len(bad) > BAD_SHOWN:
            note(f"not used: {len(bad) - BAD_SHOWN} more rows")
        if out.suffix == ".gguf":
            if options.full or gguf is None:
                convert(made, out)
            else:
                settings = asdict(options) | {"steps": outcome.steps, "engine": "trl"}
                stated = licence or read.known_licence
                _bring_back(made, out, gguf, read.name, stated, outcome.template, settings)
    if as_json:
        print(json.dumps(asdict(outcome) | {"out": str(out)}))
    else:
        print(
            f"{out}: {outcome.steps} steps on {outcome.device}, loss {outcome.loss:.4f}, "
            f"{outcome.seconds:.0f} s (template {outcome.template})"
        )


def _bring_back(
    made: Path,
    out: Path,
    gguf: Path,
    data: str,
    licence: str | None,
    template: str,
    settings: dict[str, Any],
) -> None:
    """What TRL wrote as an adapter for the file `gguf`, with the origin that ours have."""
    with GGUFFile.open(gguf) as file:
        config = ModelConfig.from_metadata(file.metadata, file.tensors)
        origin = origin_keys(
            base=identify_base(file.tensors),
            base_name=own_name(file.metadata),
            data_name=data,
            licences=licences_from(gguf, file.metadata, data, licence),
            template=template,
            settings=settings,
        )
    adapter, notes = read_peft(made, config)
    for line in notes:
        note(clean(f"note: {line}"))
    write_adapter(out, replace(adapter, metadata=origin))
