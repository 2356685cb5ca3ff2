"""A Hugging Face folder to one GGUF file: streamed, and proven to load before it is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.errors import CheckpointError, HomezooError, OptionError, UnsupportedError
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.models.load import load_model
from homezoo.text.tokenizer import Tokenizer
from homezoo.zoo.convert_plan import Planned, encoded_parts, plan, type_of
from homezoo.zoo.file_types import FILE_TYPES, QUANTIZATION_VERSION
from homezoo.zoo.hf_architectures import recipes
from homezoo.zoo.hf_card import card_metadata
from homezoo.zoo.hf_config import HFConfig
from homezoo.zoo.hf_mxfp4 import PACKED, join_packed
from homezoo.zoo.hf_recipe import Recipe
from homezoo.zoo.hf_tokenizer import read_tokenizer
from homezoo.zoo.safetensors import open_weights, read_json

TYPES = {"F32": BlockType.F32, "F16": BlockType.F16, "BF16": BlockType.BF16}
Progress = Callable[[str, int, int], None]  # what is written, bytes done, bytes in all


@dataclass
class Conversion:
    """What was written, and what the user should know about it."""

    path: Path
    architecture: str
    type: str
    tensors: int
    parameters: int
    bytes: int
    notes: list[str] = field(default_factory=list)


def convert(
    folder: Path, out: Path, type: str | None = None, progress: Progress | None = None
) -> Conversion:
    """Writes the model of a Hugging Face folder; without `type`, in the one its weights have.

    Raises CheckpointError for a damaged or contradicting folder, UnsupportedError for a model that
    cannot be converted, listing those that can. Nothing is left of a file that does not load.
    """
    if not folder.is_dir():
        raise OptionError(f"{folder} is no folder; give the folder of a Hugging Face model")
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json; give the folder of a model")
    values = read_json(folder / "config.json")
    recipe, config = _recipe(values)
    planned = plan(recipe, config, join_packed(open_weights(folder)))
    chosen = _chosen(type, planned)
    types = {p.name: type_of(p, chosen, keeps_packed=type is None) for p in planned}
    packed = BlockType.MXFP4 in types.values()
    shown = PACKED if packed else chosen.name
    computed = recipe.computed(config)
    rows = next((p.shape[0] for p in planned if p.name == "token_embd.weight"), 0)
    tokenizer = read_tokenizer(folder, config.values, rows)
    parameters = sum(int(np.prod(p.shape)) for p in planned)
    metadata = {
        "general.architecture": recipe.architecture,
        **card_metadata(folder, parameters),
        **{f"{recipe.architecture}.{key}": v for key, v in recipe.metadata(config).items()},
        **{f"{recipe.architecture}.{key}": v for key, v in recipe.beside(folder).items()},
        "general.file_type": FILE_TYPES[shown],
        "general.quantization_version": QUANTIZATION_VERSION,
        **tokenizer.keys,
    }
    _write(out, metadata, planned, types, computed, config, progress)
    return Conversion(
        out, recipe.architecture, shown, len(planned) + len(computed), parameters,
        out.stat().st_size, [*recipe.notes(config), *tokenizer.notes],
    )  # fmt: skip


def _recipe(values: Any) -> tuple[Recipe, HFConfig]:
    known = recipes()
    given = values.get("architectures") if isinstance(values, dict) else None
    name = given[0] if isinstance(given, list) and given else None
    if not isinstance(name, str) or name not in known:
        raise UnsupportedError(
            f"config.json: the architecture is {name!r}; can be converted: {', '.join(known)}"
        )
    recipe = known[name]
    part = values.get(recipe.part) if recipe.part else values
    if not isinstance(part, dict):
        raise CheckpointError(f"config.json has no {recipe.part!r}")
    quantised = values.get("quantization_config")
    method = quantised.get("quant_method") if isinstance(quantised, dict) else None
    if isinstance(quantised, dict) and (method is None or method != recipe.packed):
        raise UnsupportedError(
            f"config.json has a quantization_config ({method}); get the model's unquantised weights"
        )
    return recipe, HFConfig(values | part)


def _chosen(type: str | None, planned: list[Planned]) -> BlockType:
    """The type asked for, or that of the most bytes; F64 becomes F32."""
    if type is not None:
        if type.upper() not in TYPES:
            raise OptionError(f"--type is {type}; expected one of {', '.join(TYPES)}")
        return TYPES[type.upper()]
    sizes: dict[str, int] = {}
    for tensor in (t for p in planned for t in p.sources.values() if not p.packed):
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.data.nbytes
    most = max(sizes, key=lambda name: sizes[name], default="F32")
    return TYPES.get(most, BlockType.F32)


def _write(
    out: Path,
    metadata: dict[str, Any],
    planned: list[Planned],
    types: dict[str, BlockType],
    computed: dict[str, np.ndarray],
    config: HFConfig,
    progress: Progress | None,
) -> None:
    """Writes beside `out` under another name, loads that, and only then renames it."""
    trial = out.with_name(f".{out.name}.unproven.gguf")
    total = sum(types[p.name].row_bytes(p.shape[-1]) * int(np.prod(p.shape[:-1])) for p in planned)
    done = 0
    try:
        with GGUFWriter(trial) as writer:
            for key, value in metadata.items():
                writer.add(key, value)
            for name, values in computed.items():
                writer.declare(name, BlockType.F32, values.shape)
            for p in planned:
                writer.declare(p.name, types[p.name], p.shape)
            for name, values in computed.items():
                writer.write(name, np.ascontiguousarray(values, np.float32))
            for p in planned:
                for data in encoded_parts(p, types[p.name], config):
                    writer.write(p.name, data)
                    done += data.nbytes
                    if progress:
                        progress(p.name, done, total)
        _prove(trial)
        trial.replace(out)
    finally:
        trial.unlink(missing_ok=True)


def _prove(path: Path) -> None:
    """CheckpointError unless the new file loads with our own reader, model and tokenizer."""
    try:
        with GGUFFile.open(path) as file:
            load_model(file)
            Tokenizer.from_metadata(file.metadata)
    except HomezooError as error:
        raise CheckpointError(f"the converted model does not load: {error}") from None
