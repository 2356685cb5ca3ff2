"""Adapters: low-rank changes of a model's weights and their origin, in llama.cpp's GGUF form.

The form (read in llama.cpp's src/llama-adapter.cpp): general.type "adapter", adapter.type "lora",
adapter.lora.alpha; for a weight W the tensors W.weight.lora_a [r, K] and W.weight.lora_b [N, r],
which change it by alpha / r · b a, or by b a when alpha is 0. The rank is that of the tensors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.errors import AdapterError, UnsupportedError
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize
from homezoo.formats.gguf_read import GGUFFile
from homezoo.formats.gguf_write import GGUFWriter
from homezoo.formats.tensor import Tensor

ALPHA_KEY = "adapter.lora.alpha"
_ENDINGS = {".lora_a": 0, ".lora_b": 1}
_WEIGHT = ".weight"
# Keys that the form itself has, so that they never stand in Adapter.metadata.
_OWN_KEYS = ("general.architecture", "general.type", "adapter.type", ALPHA_KEY)
# Keys of kinds of adapters that change the model in another way.
_OTHER_KINDS = ("adapter.alora.invocation_tokens",)
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Adapter:
    """Deltas by the name of their weight, without `.weight`: as in `model.linears()`.

    Each is A float32 [r, K] and B float32 [N, r] in the order of the GGUF file's rows; the weight
    [N, K] becomes W + scale_of(name) · B A. `metadata` are further GGUF keys: adapter_origin.py.
    """

    architecture: str  # general.architecture of the base
    alpha: float  # 0: B A as it is
    deltas: Mapping[str, Pair]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.deltas:
            raise AdapterError("the adapter changes no weight: it has 0 deltas")
        if not math.isfinite(self.alpha):
            raise AdapterError(f"the adapter's alpha is {self.alpha}; expected a finite number")
        for name, (a, b) in self.deltas.items():
            if name.endswith(_WEIGHT):
                raise AdapterError(f"delta {name!r}: give the name without {_WEIGHT}")
            _check_pair(name, a, b)

    def rank_of(self, name: str) -> int:
        """r of one delta."""
        return int(self.deltas[name][0].shape[0])

    def scale_of(self, name: str) -> float:
        """What B A is multiplied by: alpha / r, or 1 when alpha is 0."""
        return self.alpha / self.rank_of(name) if self.alpha else 1.0

    @property
    def parameters(self) -> int:
        """Numbers in all A and B."""
        return sum(a.size + b.size for a, b in self.deltas.values())


def _check_pair(name: str, a: np.ndarray, b: np.ndarray) -> None:
    for letter, array in (("A", a), ("B", b)):
        if array.dtype != np.float32 or array.ndim != 2:
            raise AdapterError(
                f"delta {name!r}: {letter} is {array.dtype} of shape {array.shape}; "
                "expected float32 with two dimensions"
            )
        if not np.isfinite(array).all():
            raise AdapterError(f"delta {name!r}: {letter} holds numbers that are not finite")
    if a.shape[0] != b.shape[1] or a.shape[0] < 1:
        raise AdapterError(
            f"delta {name!r}: A has rank {a.shape[0]} and B {b.shape[1]}; expected the same, from 1"
        )


def read_adapter(path: str | Path) -> Adapter:
    """An adapter file. Its numbers are copied, as float32; the file need not stay.

    Raises GGUFError for a damaged file, AdapterError for one that is no sound adapter,
    UnsupportedError, by name, for what cannot run: other kinds than LoRA, changed norms or
    embeddings, activated LoRA.
    """
    with GGUFFile.open(path) as file:
        metadata = file.metadata
        _check_kind(path, metadata)
        if file.unsupported:
            name, type = next(iter(file.unsupported.items()))
            raise UnsupportedError(f"{path}: tensor {name!r} is in format {type}; use F32 or F16")
        deltas = _read_deltas(path, file.tensors)
        kept = {key: metadata[key] for key in metadata if key not in _OWN_KEYS}
        alpha = metadata.get(ALPHA_KEY, 0.0)
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            raise AdapterError(f"{path}: {ALPHA_KEY} is {alpha!r}; expected a number")
        try:
            return Adapter(metadata["general.architecture"], float(alpha), deltas, kept)
        except AdapterError as error:
            raise AdapterError(f"{path}: {error}") from None


def _check_kind(path: str | Path, metadata: Mapping[str, Any]) -> None:
    if metadata.get("general.type") != "adapter":
        raise AdapterError(
            f"{path} is no adapter: its general.type is {metadata.get('general.type')!r}; "
            "expected 'adapter'"
        )
    if metadata.get("adapter.type") != "lora":
        raise UnsupportedError(
            f"{path}: adapter.type is {metadata.get('adapter.type')!r}; only 'lora' can run"
        )
    for key in _OTHER_KINDS:
        if key in metadata:
            raise UnsupportedError(f"{path} has {key}: activated LoRA cannot run")
    if not isinstance(metadata.get("general.architecture"), str):
        raise AdapterError(f"{path} does not say the architecture of its base")


def _read_deltas(path: str | Path, tensors: Mapping[str, Tensor]) -> dict[str, Pair]:
    """Every pair of tensors, as floats in memory of their own."""
    halves: dict[str, list[Tensor | None]] = {}
    for name, tensor in tensors.items():
        weight, ending = name[:-7], name[-7:]
        if ending not in _ENDINGS or not weight.endswith(_WEIGHT):
            raise UnsupportedError(
                f"{path} changes {name}, which is no weight's .lora_a or .lora_b; "
                "whole tensors, norms and biases of adapters cannot run"
            )
        if weight == "token_embd.weight":
            raise UnsupportedError(f"{path} changes token_embd; an adapter of it cannot run")
        pair = halves.setdefault(weight.removesuffix(_WEIGHT), [None, None])
        pair[_ENDINGS[ending]] = tensor
    deltas = {}
    for name, (a, b) in halves.items():
        if a is None or b is None:
            missing = "lora_a" if a is None else "lora_b"
            raise AdapterError(f"{path}: {name}.weight.{missing} is missing")
        deltas[name] = (_floats(path, a), _floats(path, b))
    return deltas


def _floats(path: str | Path, tensor: Tensor) -> np.ndarray:
    if len(tensor.shape) != 2:
        raise AdapterError(f"{path}: tensor {tensor.name} has the shape {tensor.shape}")
    return np.array(dequantize(tensor.type, tensor.data).reshape(tensor.shape), np.float32)


def write_adapter(path: str | Path, adapter: Adapter, type: BlockType = BlockType.F32) -> None:
    """Writes the file: whole, or not at all. GGUFError for what cannot be written.

    llama.cpp opens it with --lora. In F32 what `read_adapter` gives of it is the same, bit for bit;
    other types round, and Q8_0 needs widths and ranks that are multiples of 32.
    """
    with GGUFWriter(path) as writer:
        writer.add("general.architecture", adapter.architecture)
        writer.add("general.type", "adapter")
        writer.add("adapter.type", "lora")
        writer.add(ALPHA_KEY, float(adapter.alpha))
        for key, value in adapter.metadata.items():
            if key in _OWN_KEYS:
                raise AdapterError(f"metadata of an adapter may not hold {key}")
            writer.add(key, value)
        for name, pair in adapter.deltas.items():
            for ending, array in zip(_ENDINGS, pair, strict=True):
                writer.declare(f"{name}{_WEIGHT}{ending}", type, array.shape)
        for name, pair in adapter.deltas.items():
            for ending, array in zip(_ENDINGS, pair, strict=True):
                data = np.ascontiguousarray(array, np.float32)
                blocks = data if type is BlockType.F32 else quantize(type, data)
                writer.write(f"{name}{_WEIGHT}{ending}", blocks)
