"""Adapters merged into a model's weights: a GGUF file without them, streamed weight by weight."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.errors import AdapterError, HomezooError, OptionError
from homezoo.formats.adapter_file import Adapter
from homezoo.formats.adapter_origin import BASE_LICENCE_KEY, DATA_LICENCE_KEY
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.formats.tensor import Tensor
from homezoo.models.load import load_model
from homezoo.zoo.licence import expression
from homezoo.zoo.licence_table import AND
from homezoo.zoo.lineage import trace

CHUNK_ELEMENTS = 1 << 20  # of rows that one thread changes at once: 4 MB as float32
MERGED_KEY = "homezoo.merged"  # names and strengths of the adapters in the weights
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
Progress = Callable[[str, int, int], None]  # what is written, bytes of the source done, and in all


@dataclass(frozen=True)
class Part:
    """An adapter to merge."""

    name: str
    adapter: Adapter
    strength: float


@dataclass(frozen=True)
class Merged:
    """What was written."""

    path: Path
    changed: int  # weights
    types: dict[str, int]  # formats of the changed weights and how many have each
    bytes: int


def merge_file(
    source: GGUFFile,
    parts: Sequence[Part],
    out: Path,
    type: BlockType | None = None,
    progress: Progress | None = None,
) -> Merged:
    """Writes W + strength · scale · B A for each changed weight, everything else as it is.

    Changed weights keep their format, so a quantised one is rounded anew, or get `type` where their
    rows fit it. A tied output that is changed becomes a weight of its own. Memory: some pieces of
    4 MB and the adapters. Raises OptionError for a bad destination, AdapterError for a misfit.
    """
    if out.exists() and out.samefile(source.path):
        raise OptionError(f"{out} is the base itself; give another name")
    changes = _changes(source, parts)
    tensors = dict(source.tensors)
    if _OUTPUT in changes and _OUTPUT not in tensors:
        embedding = tensors[_EMBEDDING]
        tensors[_OUTPUT] = Tensor(_OUTPUT, embedding.type, embedding.shape, embedding.data)
    types = {name: tensor.type for name, tensor in tensors.items()}
    for name in changes:
        types[name] = _fitting(type, tensors[name]) if type is not None else types[name]
    total = sum(tensor.data.nbytes for tensor in tensors.values())
    done = 0
    with GGUFWriter(out) as writer, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        _write_metadata(writer, source.metadata, parts)
        for name, tensor in tensors.items():
            writer.declare(name, types[name], tensor.shape)
        for name, tensor in tensors.items():
            for data in _blocks(pool, tensor, types[name], changes.get(name, [])):
                writer.write(name, data)
            done += tensor.data.nbytes
            if progress:
                progress(name, done, total)
    names = [types[name].name for name in changes]
    counts = {name: names.count(name) for name in sorted(set(names))}
    return Merged(out, len(changes), counts, out.stat().st_size)


Change = tuple[np.ndarray, np.ndarray, float]  # A [r, K], B [N, r], what B A is multiplied by


def _changes(source: GGUFFile, parts: Sequence[Part]) -> dict[str, list[Change]]:
    """By tensor name, in the order of the adapters; every delta is checked against its weight."""
    model = load_model(source)
    linears = model.linears()
    found: dict[str, list[Change]] = {}
    for part in parts:
        if part.adapter.architecture != model.config.architecture:
            raise AdapterError(
                f"{part.name} is for architecture {part.adapter.architecture}; "
                f"this model is {model.config.architecture}"
            )
        for weight, (a, b) in part.adapter.deltas.items():
            linear = linears.get(weight)
            if linear is None or (linear.weight.rows, linear.weight.width) != (len(b), a.shape[1]):
                shape = f"({len(b)}, {a.shape[1]})"
                raise AdapterError(f"{part.name}: this model has no weight {weight} of {shape}")
            factor = part.strength * part.adapter.scale_of(weight)
            found.setdefault(f"{weight}.weight", []).append((a, b, factor))
    return found


def _fitting(type: BlockType, tensor: Tensor) -> BlockType:
    if tensor.width % type.block_size:
        raise OptionError(
            f"--type {type.name} needs rows of a multiple of {type.block_size}; {tensor.name} has "
            f"{tensor.width} values: use F16"
        )
    return type


def _write_metadata(writer: GGUFWriter, metadata: Mapping[str, Any], parts: Sequence[Part]) -> None:
    """The base's, with the base and the adapters' data in the chain of what it is made from."""
    chain = _chain(metadata, parts)
    of_base = ("general.base_model.", "general.dataset.", "general.license.", MERGED_KEY)
    dropped = [key for key in metadata if key in chain or key.startswith(of_base)]
    writer.copy_metadata(metadata, dropped)  # type: ignore[arg-type]
    for key, value in chain.items():
        writer.add(key, value)


def _chain(metadata: Mapping[str, Any], parts: Sequence[Part]) -> dict[str, Any]:
    name = metadata.get("general.name")
    merged = [f"{part.name}:{part.strength:g}" for part in parts]
    keys: dict[str, Any] = {MERGED_KEY: merged}
    if isinstance(name, str):
        keys["general.name"] = f"{name} with {', '.join(part.name for part in parts)}"
    sources = [metadata, *(part.adapter.metadata for part in parts)]
    for kind in ("base_model", "dataset"):
        listed: dict[str, dict[str, Any]] = {}
        for keys_of in sources:
            for entry in _listed(keys_of, kind):
                listed.setdefault(str(entry.get("name")), entry)
        if kind == "base_model" and isinstance(name, str):
            listed.setdefault(name, {"name": name})
        for number, entry in enumerate(listed.values()):
            keys |= {f"general.{kind}.{number}.{key}": value for key, value in entry.items()}
        if listed:
            keys[f"general.{kind}.count"] = len(listed)
    licences = [source.get(DATA_LICENCE_KEY) for source in sources]
    stated = sorted({licence for licence in licences if isinstance(licence, str)})
    if stated:
        keys[DATA_LICENCE_KEY] = AND.join(stated)
    links = trace(metadata, {}, "")
    keys[BASE_LICENCE_KEY] = expression(links)
    for part in parts:
        links += trace(part.adapter.metadata, {}, part.name)
    return keys | {"general.license": expression(links)}


def _listed(metadata: Mapping[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    """What a file lists under general.<kind>.<number>."""
    number = 0
    while True:
        prefix = f"general.{kind}.{number}."
        entry = {key.removeprefix(prefix): metadata[key] for key in metadata if prefix in key}
        if not entry:
            return
        yield entry
        number += 1


def _blocks(
    pool: ThreadPoolExecutor, tensor: Tensor, type: BlockType, changes: Sequence[Change]
) -> Iterator[np.ndarray]:
    """The tensor's rows as blocks, changed where it is changed, piece by piece in order."""
    if not changes:
        yield tensor.data
        return

    def piece(start: int) -> np.ndarray:
        rows = dequantize(tensor.type, tensor.data[start : start + step])  # float32 [step, K]
        for a, b, factor in changes:
            rows = rows + np.float32(factor) * (b[start : start + step] @ a)
        try:
            return quantize(type, rows)
        except HomezooError as error:
            raise AdapterError(f"{tensor.name}, rows from {start}: {error}") from None

    step = max(1, CHUNK_ELEMENTS // tensor.width)
    yield from pool.map(piece, range(0, tensor.rows, step))
