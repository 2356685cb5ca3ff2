"""One GGUF file to a smaller one: streamed tensor by tensor, in threads, with the usual mixes."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from homezoo.errors import CheckpointError, HomezooError, OptionError, UnsupportedError
from homezoo.formats.block_fit import fit
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.formats.tensor import Tensor
from homezoo.models.load import ModelFile
from homezoo.models.metadata import MetadataReader
from homezoo.zoo import calibrate
from homezoo.zoo.file_types import FILE_TYPES, QUANTIZATION_VERSION
from homezoo.zoo.mixes import FLOATS, MIXES, ModelFacts, find_mix, is_quantised, tensor_type
from homezoo.zoo.round_aware import AWARE_TYPES, Inputs, quantize_aware

_CHUNK_ELEMENTS = 1 << 20  # of rows that one thread quantises at once: 4 MB as float32
_GRAM_BYTES = 1 << 30  # of inputs' sums held at once; the text is read again for the next weights
Progress = Callable[[str, int, int], None]  # what is done, bytes (or windows) done, and in all


@dataclass
class Quantisation:
    """What was written."""

    path: Path
    mix: str
    source_bytes: int  # of tensors
    bytes: int
    types: dict[str, int]  # tensors in each format
    aware: int  # tensors rounded for their output on the calibration text
    notes: list[str] = field(default_factory=list)


def quantize_file(
    source: GGUFFile,
    out: Path,
    mix: str,
    calibration: str | None = None,
    progress: Progress | None = None,
) -> Quantisation:
    """Writes the model in the mix; with a calibration text, rounded for small output errors.

    Memory: the largest tensor's blocks, some 4 MB pieces, and with calibration 1 GB of sums (more
    only where a single weight needs more). Raises OptionError for an unknown mix or too short a
    text, UnsupportedError for weights that are quantised already.
    """
    mix = find_mix(mix)
    if out.exists() and out.samefile(source.path):
        raise OptionError(f"{out} is the source itself; give another name")
    types, notes = choose(source, mix)
    tensors = source.tensors
    result = Quantisation(
        out, mix, sum(t.data.nbytes for t in tensors.values()), 0, _counts(types), 0, notes
    )
    total = sum(t.data.nbytes for t in tensors.values())
    done = 0
    with GGUFWriter(out) as writer, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        _write_metadata(writer, source, mix, calibration is not None)
        for name, tensor in tensors.items():
            writer.declare(name, types[name], tensor.shape)
        for name, inputs in _with_inputs(source, types, calibration, progress):
            for data in _blocks(pool, tensors[name], types[name], inputs):
                writer.write(name, data)
                result.bytes += data.nbytes
            result.aware += inputs is not None
            done += tensors[name].data.nbytes
            if progress:
                progress(name, done, total)
    return result


def choose(source: GGUFFile, mix: str) -> tuple[dict[str, BlockType], list[str]]:
    """The format of every tensor, and a note on those that do not get the mix's own."""
    if source.unsupported:
        name, kind = next(iter(source.unsupported.items()))
        raise UnsupportedError(f"tensor {name} is {kind}, which homezoo cannot read")
    facts = model_facts(source)
    types: dict[str, BlockType] = {}
    narrow: dict[str, int] = {}
    for name, tensor in source.tensors.items():
        if not is_quantised(name, tensor.shape):
            types[name] = tensor.type
            continue
        types[name] = tensor_type(mix, name, tensor.shape, facts)
        if tensor.type not in (*FLOATS, types[name]):  # gpt-oss's experts may stay MXFP4
            raise UnsupportedError(
                f"tensor {name} is {tensor.type.name}; rounding what was rounded before harms "
                "twice: start from an F32, F16 or BF16 file"
            )
        if types[name].block_size < MIXES[mix].block_size and MIXES[mix] not in FLOATS:
            change = f"rows of {tensor.width} as {types[name].name}"
            narrow[change] = narrow.get(change, 0) + 1
    block = MIXES[mix].block_size
    listed = ", ".join(f"{count} tensors with {change}" for change, count in narrow.items())
    notes = [f"{mix} needs rows of a multiple of {block}; written instead: {listed}"]
    return types, notes if narrow else []


def model_facts(source: ModelFile) -> ModelFacts:
    """What the rules of mixes ask; GGUFError for metadata that does not say it."""
    architecture = str(source.metadata.get("general.architecture"))
    reader = MetadataReader(source.metadata, architecture)
    heads = reader.integer("attention.head_count")
    return ModelFacts(
        layers=reader.integer("block_count"),
        groups=heads // reader.integer("attention.head_count_kv", heads),
        experts=reader.integer("expert_count", 0, minimum=0),
        has_output="output.weight" in source.tensors,
        is_falcon=architecture == "falcon",
    )


def _counts(types: dict[str, BlockType]) -> dict[str, int]:
    names = [type.name for type in types.values()]
    return {name: names.count(name) for name in sorted(set(names))}


def _write_metadata(writer: GGUFWriter, source: GGUFFile, mix: str, calibrated: bool) -> None:
    replaced = ("general.file_type", "general.quantization_version", "homezoo.calibrated")
    writer.copy_metadata(source.metadata, replaced)
    writer.add("general.file_type", FILE_TYPES[mix])
    writer.add("general.quantization_version", QUANTIZATION_VERSION)
    if calibrated:
        writer.add("homezoo.calibrated", True)


def _with_inputs(
    source: GGUFFile,
    types: dict[str, BlockType],
    calibration: str | None,
    progress: Progress | None,
) -> Iterator[tuple[str, Inputs | None]]:
    """Every tensor once, with what its inputs look like where that can help."""
    helped = {
        name: source.tensors[name].width
        for name, type in types.items()
        if calibration is not None and type in AWARE_TYPES and source.tensors[name].type != type
    }
    for name in types:
        if name not in helped:
            yield name, None
    if not helped or calibration is None:
        return
    texts = calibrate.windows(source, calibration)
    for group in calibrate.groups(helped, _GRAM_BYTES):
        grams = calibrate.Grams(group)
        for count, sums in calibrate.collect(source, texts, group):
            grams = sums
            if progress:
                progress("reading the calibration text", count, len(texts))
        made: dict[str, Inputs | None] = {}
        for name in group:
            gram, key = grams.of(name), grams.same.get(name, name)
            if key not in made:
                made = {key: None if gram is None else Inputs.from_gram(gram)}
            yield name, made[key]


def _blocks(
    pool: ThreadPoolExecutor, tensor: Tensor, type: BlockType, inputs: Inputs | None
) -> Iterator[np.ndarray]:
    """The tensor's rows as blocks of the new type, piece by piece in order."""
    if type is tensor.type:
        yield tensor.data
        return

    def piece(start: int) -> np.ndarray:
        rows = dequantize(tensor.type, tensor.data[start : start + step])
        try:
            if inputs is None:
                return fit(type, rows)
            return quantize_aware(type, rows, inputs)
        except HomezooError as error:
            raise CheckpointError(f"tensor {tensor.name}, rows from {start}: {error}") from None

    step = max(1, _CHUNK_ELEMENTS // tensor.width)
    yield from pool.map(piece, range(0, tensor.rows, step))
