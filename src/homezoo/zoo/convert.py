"""A Hugging Face folder to one GGUF file: streamed, and proven to load before it is kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.errors import CheckpointError, HomezooError, OptionError, UnsupportedError
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.models.load import load_model
from homezoo.text.tokenizer import Tokenizer
from homezoo.zoo.file_types import FILE_TYPES, QUANTIZATION_VERSION
from homezoo.zoo.hf_architectures import recipes
from homezoo.zoo.hf_card import card_metadata
from homezoo.zoo.hf_config import HFConfig
from homezoo.zoo.hf_recipe import Recipe, Rule
from homezoo.zoo.hf_tokenizer import read_tokenizer
from homezoo.zoo.safetensors import StoredTensor, open_weights, read_json

TYPES = {"F32": BlockType.F32, "F16": BlockType.F16, "BF16": BlockType.BF16}
# Small or delicate weights that stay F32 whatever the others become, as in llama.cpp's files.
_ALWAYS_F32 = ("_norm.weight", ".ffn_gate_inp.weight", "position_embd.weight", "token_types.weight")
_CHUNK_ELEMENTS = 1 << 24  # of a tensor that is written row by row: 64 MB as float32
Progress = Callable[[str, int, int], None]  # what is written, bytes done, bytes in all


@dataclass
class Planned:
    """A tensor of the new file and what it is made of: one stored tensor, or one per expert."""

    name: str
    rule: Rule
    sources: dict[int, StoredTensor]  # by the number of the expert; 0 without experts

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in the new file."""
        shape = next(iter(self.sources.values())).shape
        shape = shape[::-1] if self.rule.transposed else shape
        return (len(self.sources), *shape) if "{expert}" in self.rule.target else shape


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
    stored = open_weights(folder)
    planned = plan(recipe, config, stored)
    chosen = _chosen(type, planned)
    computed = recipe.computed(config)
    rows = next((p.shape[0] for p in planned if p.name == "token_embd.weight"), 0)
    tokenizer = read_tokenizer(folder, config.values, rows)
    parameters = sum(int(np.prod(p.shape)) for p in planned)
    metadata = {
        "general.architecture": recipe.architecture,
        **card_metadata(folder, parameters),
        **{f"{recipe.architecture}.{key}": v for key, v in recipe.metadata(config).items()},
        "general.file_type": FILE_TYPES[chosen.name],
        "general.quantization_version": QUANTIZATION_VERSION,
        **tokenizer.keys,
    }
    _write(out, metadata, planned, computed, config, chosen, progress)
    return Conversion(
        out, recipe.architecture, chosen.name, len(planned) + len(computed), parameters,
        out.stat().st_size, tokenizer.notes,
    )  # fmt: skip


def plan(recipe: Recipe, config: HFConfig, stored: dict[str, StoredTensor]) -> list[Planned]:
    """The tensors of the new file in order; CheckpointError for unknown ones and for gaps."""
    tied = config.flag("tie_word_embeddings", False)
    planned: dict[str, Planned] = {}
    unknown = []
    for name, tensor in stored.items():
        found = recipe.find(name)
        if found is None:
            unknown.append(name)
            continue
        rule, numbers = found
        if rule is None or (tied and rule.target == "output.weight"):
            continue
        target = rule.target.format_map(numbers | {"expert": "{expert}"})
        target = target.replace("{expert}", "exps") if "{expert}" in target else target
        entry = planned.setdefault(target, Planned(target, rule, {}))
        entry.sources[numbers.get("expert", 0)] = tensor
    if unknown:
        raise CheckpointError(
            f"{len(unknown)} tensors that architecture {recipe.architecture} does not have: "
            f"{', '.join(sorted(unknown)[:3])}; converting would leave them out"
        )
    if not tied and "output.weight" not in planned and "lm_head.weight" in recipe.tensors:
        raise CheckpointError("lm_head.weight is missing, and tie_word_embeddings is not true")
    return [planned[name] for name in sorted(planned, key=_order)]


def _order(name: str) -> tuple[int, int, str]:
    """The embedding, then layers by number, then the rest."""
    if name.startswith("blk."):
        return 1, int(name.split(".")[1]), name
    return (0 if name.startswith("token_embd") else 2), 0, name


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
    if isinstance(values.get("quantization_config"), dict):
        raise UnsupportedError(
            "config.json has a quantization_config; get the model's unquantised weights"
        )
    return recipe, HFConfig(values | part)


def _chosen(type: str | None, planned: list[Planned]) -> BlockType:
    """The type asked for, or that of the most bytes; F64 becomes F32."""
    if type is not None:
        if type.upper() not in TYPES:
            raise OptionError(f"--type is {type}; expected one of {', '.join(TYPES)}")
        return TYPES[type.upper()]
    sizes: dict[str, int] = {}
    for tensor in (t for p in planned for t in p.sources.values()):
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.data.nbytes
    most = max(sizes, key=lambda name: sizes[name], default="F32")
    return TYPES.get(most, BlockType.F32)


def _write(
    out: Path,
    metadata: dict[str, Any],
    planned: list[Planned],
    computed: dict[str, np.ndarray],
    config: HFConfig,
    chosen: BlockType,
    progress: Progress | None,
) -> None:
    """Writes beside `out` under another name, loads that, and only then renames it."""
    trial = out.with_name(f".{out.name}.unproven.gguf")
    types = {p.name: type_of(p.name, p.shape, chosen) for p in planned}
    total = sum(types[p.name].row_bytes(1) * int(np.prod(p.shape)) for p in planned)
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
                for part in _parts(p, config):
                    data = _encoded(p.name, types[p.name], part)
                    writer.write(p.name, data)
                    done += data.nbytes
                    if progress:
                        progress(p.name, done, total)
        _prove(trial)
        trial.replace(out)
    finally:
        trial.unlink(missing_ok=True)


def type_of(name: str, shape: tuple[int, ...], chosen: BlockType) -> BlockType:
    """The type of a tensor in a file whose weights are `chosen`: F32 for vectors and norms."""
    if len(shape) < 2 or name.endswith(_ALWAYS_F32):
        return BlockType.F32
    return chosen


def _parts(planned: Planned, config: HFConfig) -> Iterator[np.ndarray]:
    """The tensor's floats in pieces, which together are [shape]."""
    rule = planned.rule
    experts = sorted(planned.sources)
    if experts != list(range(len(experts))):
        raise CheckpointError(f"{planned.name}: the experts are {experts}; one is missing")
    for expert in experts:
        tensor = planned.sources[expert]
        if rule.change or rule.transposed or len(tensor.shape) < 2:
            values = tensor.floats()
            values = values.T if rule.transposed else values
            yield rule.change(values, config) if rule.change else values
            continue
        step = max(1, _CHUNK_ELEMENTS // max(1, int(np.prod(tensor.shape[1:]))))
        for start in range(0, tensor.shape[0], step):
            yield tensor.floats(start, min(start + step, tensor.shape[0]))


def _encoded(name: str, type: BlockType, values: np.ndarray) -> np.ndarray:
    """Rows of blocks, uint8; the error names the tensor."""
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    try:
        return quantize(type, rows)
    except HomezooError as error:
        hint = "; use --type BF16 or F32" if type is BlockType.F16 else ""
        raise CheckpointError(f"tensor {name}: {error}{hint}") from None


def _prove(path: Path) -> None:
    """CheckpointError unless the new file loads with our own reader, model and tokenizer."""
    try:
        with GGUFFile.open(path) as file:
            load_model(file)
            Tokenizer.from_metadata(file.metadata)
    except HomezooError as error:
        raise CheckpointError(f"the converted model does not load: {error}") from None
