"""Reads the weights of a Hugging Face folder: safetensors files, mapped, one or many with an index.

Format: github.com/huggingface/safetensors. A file is a header's length (8 bytes), a JSON header
that says where each tensor lies, and the tensors without gaps. Nothing in it is trusted.
"""

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.errors import CheckpointError, UnsupportedError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
MAX_JSON_BYTES = 100_000_000  # of any other JSON file in the folder; tokenizers reach 40 MB
MAX_DIMENSIONS = 8  # no weight has more than 5; keeps products of hostile shapes small
# Bytes of an element of every type that the format has; only the floats can be read.
_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "U16": 2,
    "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
}  # fmt: skip
FLOAT_TYPES = ("F16", "BF16", "F32", "F64")
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor as it lies in its file."""

    name: str
    type: str  # the format's name of it, such as BF16
    shape: tuple[int, ...]
    data: np.ndarray  # uint8 [bytes], a view of the map

    def floats(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """float32 [shape], of the first dimension's rows `start` to `stop` only, where asked.

        F64 is rounded. Raises UnsupportedError for integers and 8-bit floats.
        """
        if self.type not in FLOAT_TYPES:
            raise UnsupportedError(
                f"tensor {self.name} is {self.type}; weights can be read as "
                f"{', '.join(FLOAT_TYPES)} (8-bit and packed checkpoints must be expanded first)"
            )
        row = prod(self.shape[1:]) * _SIZES[self.type]
        stop = self.shape[0] if self.shape and stop is None else stop
        raw = self.data if not self.shape else self.data[start * row : (stop or 0) * row]
        shape = self.shape if not self.shape else ((stop or 0) - start, *self.shape[1:])
        if self.type == "BF16":
            wide = raw.view("<u2").astype(np.uint32) << 16
            return wide.view(np.float32).reshape(shape)
        dtype = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[self.type]
        return raw.view(dtype).astype(np.float32).reshape(shape)


def read_json(path: Path) -> Any:
    """The value of a JSON file; CheckpointError for one too large, too deep, or not JSON."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes; that is no model's JSON")
    return _json(path.read_bytes(), path)


def open_weights(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of the folder's safetensors files by name; nothing is read but the headers.

    Raises CheckpointError for damaged or contradicting files, UnsupportedError when the folder
    holds only pickled weights, which can run programs when they are opened.
    """
    if (folder / INDEX).is_file():
        return _sharded(folder)
    paths = sorted(folder.glob("*.safetensors"))
    if (folder / SINGLE).is_file():
        paths = [folder / SINGLE]
    if len(paths) > 1:
        raise CheckpointError(
            f"{folder} holds {len(paths)} safetensors files without {INDEX}; download the index"
        )
    if paths:
        return {tensor.name: tensor for tensor in read_file(paths[0])}
    pickled = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    if pickled:
        raise UnsupportedError(
            f"{folder} holds only pickled weights ({pickled[0].name}), which can run programs when "
            "opened; get the model's safetensors files (transformers saves them so)"
        )
    raise CheckpointError(f"{folder} holds no {SINGLE}; give the folder of a Hugging Face model")


def _sharded(folder: Path) -> dict[str, StoredTensor]:
    places = read_json(folder / INDEX)
    places = places.get("weight_map") if isinstance(places, dict) else None
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{folder / INDEX} has no weight_map; download it again")
    tensors: dict[str, StoredTensor] = {}
    for name in sorted({str(place) for place in places.values()}):
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise CheckpointError(
                f"{folder / INDEX} names the file {name!r}; that is none beside it"
            )
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing; download it")
        for tensor in read_file(folder / name):
            if places.get(tensor.name) != name:
                raise CheckpointError(
                    f"tensor {tensor.name!r} lies in {name}, but {INDEX} places it in "
                    f"{places.get(tensor.name)!r}"
                )
            tensors[tensor.name] = tensor
    missing = sorted(places.keys() - tensors.keys())
    if missing:
        raise CheckpointError(f"tensor {missing[0]!r} is in {INDEX} but in none of its files")
    return tensors


def read_file(path: Path) -> Iterator[StoredTensor]:
    """The tensors of one file, mapped; CheckpointError for whatever is wrong with it."""
    header, body = _open(path)
    header.pop("__metadata__", None)
    end = 0
    entries = [_entry(path, name, fields) for name, fields in header.items()]
    for name, type, shape, begin, stop in sorted(entries, key=lambda entry: entry[3:]):
        if begin != end or stop > len(body):
            raise CheckpointError(
                f"{path}: tensor {name!r} lies at bytes {begin} to {stop}; expected it from {end} "
                f"on and within {len(body)}"
            )
        end = stop
        yield StoredTensor(name, type, shape, body[begin:stop])
    if end != len(body):
        raise CheckpointError(f"{path} has {len(body) - end:,} bytes that no tensor claims")


def read_header(path: Path) -> dict[str, Any]:
    """The JSON header of a file, with what it says of itself under __metadata__."""
    return _open(path)[0]


def _open(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """The header, and the map of all that follows it: uint8 [bytes]."""
    size = path.stat().st_size
    if size < 8:
        raise CheckpointError(f"{path} has {size} bytes and is no safetensors file")
    with path.open("rb") as file:
        data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    length = int.from_bytes(data[:8].tobytes(), "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise CheckpointError(
            f"{path} says its header has {length:,} bytes and has {size:,} in all; "
            "it is cut short or no safetensors file"
        )
    header = _json(data[8 : 8 + length].tobytes(), path)
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: the header is no JSON object; download it again")
    return header, data[8 + length :]


def _entry(path: Path, name: str, fields: Any) -> tuple[str, str, tuple[int, ...], int, int]:
    """Name, type, shape, first byte and end of a tensor, each checked by itself."""
    fields = fields if isinstance(fields, dict) else {}
    type, shape, place = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if type not in _SIZES:
        raise CheckpointError(f"{path}: tensor {name!r} has the type {type!r}, which is unknown")
    if not _whole(shape) or len(shape) > MAX_DIMENSIONS:
        raise CheckpointError(f"{path}: tensor {name!r} has the shape {shape!r:.60}")
    if not _whole(place) or len(place) != 2 or place[0] > place[1]:
        raise CheckpointError(f"{path}: tensor {name!r} has the data_offsets {place!r:.60}")
    needed = prod(shape) * _SIZES[type]
    if place[1] - place[0] != needed:
        raise CheckpointError(
            f"{path}: tensor {name!r} of {type} {shape} needs {needed} bytes and has "
            f"{place[1] - place[0]}"
        )
    return name, type, tuple(shape), place[0], place[1]


def _whole(value: Any) -> bool:
    """Whether it is a list of whole numbers that 8 bytes hold."""
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def _json(text: bytes, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not sound JSON: {error}; download it again") from None


def _unique(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = sorted(name for name, _ in pairs)
        twice = next(a for a, b in pairwise(names) if a == b)
        raise CheckpointError(f"{path} has {twice!r} twice; download it again")
    return found
