"""What the tensors of a new GGUF file are made of, and their bytes piece by piece."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from homezoo.errors import CheckpointError, HomezooError
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.zoo.hf_config import HFConfig
from homezoo.zoo.hf_mxfp4 import PACKED, PackedTensor, Source
from homezoo.zoo.hf_recipe import Recipe, Rule

# Small or delicate weights that stay F32 whatever the others become, as in llama.cpp's files.
_ALWAYS_F32 = (
    ".bias", "_norm.weight", ".ffn_gate_inp.weight", "position_embd.weight", "token_types.weight",
)  # fmt: skip
_CHUNK_ELEMENTS = 1 << 24  # of a tensor that is written row by row: 64 MB as float32
_EXPERT = "{expert}"


@dataclass
class Planned:
    """A tensor of the new file and what it is made of: one stored tensor, or one per expert."""

    name: str
    rule: Rule
    sources: dict[int, Source]  # by the number of the expert; 0 without experts

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in the new file; CheckpointError for a tensor that has too few dimensions."""
        source = next(iter(self.sources.values()))
        lead: tuple[int, ...] = (len(self.sources),) if _EXPERT in self.rule.target else ()
        shape = source.shape
        if self.rule.stacked:
            lead, shape = shape[:1], shape[1:]
        if not shape:
            raise CheckpointError(f"tensor {source.name} has the shape {source.shape}")
        shape = shape[::-1] if self.rule.transposed else shape
        half = self.rule.half
        rows = shape[0] if half is None else len(range(shape[0])[half.of(shape[0])])
        return (*lead, rows, *shape[1:])

    @property
    def packed(self) -> bool:
        """Whether its blocks lie in the checkpoint already."""
        return next(iter(self.sources.values())).type == PACKED


def plan(recipe: Recipe, config: HFConfig, stored: Mapping[str, Source]) -> list[Planned]:
    """The tensors of the new file in order; CheckpointError for unknown ones and for gaps."""
    tied = config.flag("tie_word_embeddings", recipe.tied)
    planned: dict[str, Planned] = {}
    unknown = []
    for name, tensor in stored.items():
        found = recipe.find(name)
        if found is None:
            unknown.append(name)
            continue
        rules, numbers = found
        for rule in rules:
            if tied and rule.target == "output.weight":
                continue
            target = rule.target.format_map({**numbers, "expert": "exps"})
            entry = planned.setdefault(target, Planned(target, rule, {}))
            twice = entry.sources.setdefault(numbers.get("expert", 0), tensor)
            if twice is not tensor:
                raise CheckpointError(f"tensors {twice.name} and {name} are both {target}")
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


def type_of(planned: Planned, chosen: BlockType, keeps_packed: bool) -> BlockType:
    """The type of a tensor in a file whose weights are `chosen`: F32 for vectors and norms."""
    if len(planned.shape) < 2 or planned.name.endswith(_ALWAYS_F32):
        return BlockType.F32
    return BlockType.MXFP4 if planned.packed and keeps_packed else chosen


def encoded_parts(planned: Planned, type: BlockType, config: HFConfig) -> Iterator[np.ndarray]:
    """The tensor's rows of blocks in order, some at a time: uint8 [some, row bytes].

    Raises CheckpointError naming the tensor for a missing expert or values the type cannot hold.
    """
    experts = sorted(planned.sources)
    if experts != list(range(len(experts))):
        raise CheckpointError(f"{planned.name}: the experts are {experts}; one is missing")
    for expert in experts:
        source = planned.sources[expert]
        if type is BlockType.MXFP4 and isinstance(source, PackedTensor):
            for number in range(source.shape[0]):
                yield _half(planned.rule, source.blocks(number))
            continue
        for values in _parts(planned.rule, source, config):
            yield _encoded(planned.name, type, values)


def _parts(rule: Rule, source: Source, config: HFConfig) -> Iterator[np.ndarray]:
    """One stored tensor's floats as GGUF wants them, in pieces of whole rows."""
    if rule.stacked:
        for expert in range(source.shape[0]):
            yield _changed(rule, source.floats(expert, expert + 1)[0], source.name, config)
        return
    if rule.change or rule.transposed or rule.half or len(source.shape) < 2:
        yield _changed(rule, source.floats(), source.name, config)
        return
    step = max(1, _CHUNK_ELEMENTS // max(1, int(np.prod(source.shape[1:]))))
    for start in range(0, source.shape[0], step):
        yield source.floats(start, min(start + step, source.shape[0]))


def _changed(rule: Rule, values: np.ndarray, name: str, config: HFConfig) -> np.ndarray:
    values = _half(rule, values.T if rule.transposed else values)
    try:
        return rule.change(values, config) if rule.change else values
    except ValueError as error:  # the shape does not hold the heads of config.json
        raise CheckpointError(f"tensor {name} does not fit config.json: {error}") from None


def _half(rule: Rule, rows: np.ndarray) -> np.ndarray:
    return rows if rule.half is None else rows[rule.half.of(len(rows))]


def _encoded(name: str, type: BlockType, values: np.ndarray) -> np.ndarray:
    """Rows of blocks, uint8; the error names the tensor."""
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    try:
        return quantize(type, rows)
    except HomezooError as error:
        hint = "; use --type BF16 or F32" if type is BlockType.F16 else ""
        raise CheckpointError(f"tensor {name}: {error}{hint}") from None
