"""`homezoo adapter merge`: a model with adapters in its weights, and what rounding them costs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from homezoo.commands.adapters import open_adapter, split_scale
from homezoo.commands.convert import progress_bar
from homezoo.commands.model_path import find_model
from homezoo.commands.options import JsonOption, ModelArgument, ThreadsOption, read_text
from homezoo.commands.terminal import note
from homezoo.errors import OptionError
from homezoo.formats.adapter_origin import check_base, identify_base
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.config import ModelConfig
from homezoo.run.model import Model
from homezoo.zoo.merge import Merged, Part, merge_file
from homezoo.zoo.report import Quality, measure

DETAILS = (
    "An adapter that stays beside its base costs little and changes nothing. Merged into a "
    "quantised weight it is rounded with it, and part of a small change is lost: the divergence of "
    "the merged file from base and adapter is measured and printed, on --text or else on what the "
    "model with the adapter writes itself. --type F16 or Q8_0 keeps more."
)
WINDOW, WINDOWS = 256, 4  # tokens of each text measured, and how many at most

AdaptersArgument = Annotated[
    list[str], typer.Argument(metavar="ADAPTER[:SCALE]...", help=".gguf files or PEFT folders")
]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="OUT.gguf", help="the file to write")
]
TypeOption = Annotated[
    str | None,
    typer.Option("--type", help="format of the changed weights, as F16 or Q8_0; else their own"),
]
TextOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="a UTF-8 text to measure the divergence on")
]


def command(
    model: ModelArgument,
    adapters: AdaptersArgument,
    out: OutOption,
    type: TypeOption = None,
    text: TextOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the file, then measures it against base and adapters."""
    base, target = find_model(model), out.expanduser()
    chosen = _type(type)
    read = None if text is None else read_text(text)
    with GGUFFile.open(base) as file:
        parts = _parts(file, adapters)
        with progress_bar() as progress:
            merged = merge_file(file, parts, target, chosen, progress)
    quality = compare(base, parts, target, read, threads)
    if as_json:
        print(json.dumps(asdict(merged) | {"path": str(target), "quality": asdict(quality)}))
    else:
        _print(merged, quality, read is None)


def _type(name: str | None) -> BlockType | None:
    if name is None:
        return None
    if name.upper() not in BlockType.__members__:
        raise OptionError(f"--type is {name}; expected one of {', '.join(BlockType.__members__)}")
    return BlockType[name.upper()]


def _parts(file: GGUFFile, given: list[str]) -> list[Part]:
    """The adapters, each checked against its base."""
    config = ModelConfig.from_metadata(file.metadata, file.tensors)
    identity = identify_base(file.tensors)
    parts = []
    for text in given:
        path, strength = split_scale(text)
        adapter = open_adapter(path, config)
        warning = check_base(path.stem, adapter.metadata, identity)
        if warning:
            note(f"warning: {warning}")
        parts.append(Part(path.stem, adapter, strength))
    return parts


def compare(
    base: Path, parts: list[Part], merged: Path, text: str | None, threads: int | None
) -> Quality:
    """The merged file against the base with the adapters beside it."""
    with (
        Model.open(base, threads=threads) as first,
        Model.open(merged, threads=threads) as second,
    ):
        for number, part in enumerate(parts):
            first.engine.attach(f"{part.name}-{number}", part.adapter, part.strength)
        window = min(WINDOW, first.context)
        windows = _windows(first, text, window)
        return measure(first.engine.logits, second.engine.logits, windows)


def _windows(model: Model, text: str | None, window: int) -> list[list[int]]:
    """Token ids to measure on: of the text, or of what the model writes, each draw another."""
    if text is not None:
        tokens = model.encode_prompt(text)
        cut = [tokens[start : start + window] for start in range(0, len(tokens), window)]
        found = [part for part in cut[:WINDOWS] if len(part) > 1]
        if not found:
            raise OptionError(f"--text has {len(tokens)} tokens; give a longer text")
        return found
    start = [model.tokenizer.bos_id if model.tokenizer.bos_id is not None else 0]
    answers = [
        model.generate(start, seed=seed, temperature=1.0, max_tokens=window - 1, ignore_end=True)
        for seed in range(WINDOWS)
    ]
    return [[*start, *answer.tokens] for answer in answers]


def _print(merged: Merged, quality: Quality, own: bool) -> None:
    types = ", ".join(f"{count} as {name}" for name, count in merged.types.items())
    print(f"{merged.path}: {merged.changed} weights changed ({types}), {merged.bytes:,} bytes")
    where = "that the model wrote itself" if own else "of the text"
    print(
        f"what rounding cost, against base and adapter on {quality.tokens:,} tokens {where}: "
        f"KL {quality.mean_kl:.2e} nats per token (1 in 100 above {quality.worst_kl:.2e}), "
        f"the same top token {quality.same_top:.1%}, "
        f"perplexity {quality.source_perplexity:.3f} to {quality.perplexity:.3f}"
    )
