"""A PEFT folder to an adapter: tensors by module, rows in the order of GGUF, scales folded."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.errors import CheckpointError, HomezooError, UnsupportedError
from homezoo.formats.adapter_file import Adapter, Pair
from homezoo.formats.adapter_origin import origin_keys
from homezoo.models.config import ModelConfig
from homezoo.zoo.hf_card import card_metadata
from homezoo.zoo.peft_config import PeftConfig, read_peft_config
from homezoo.zoo.peft_names import PeftNames, Place
from homezoo.zoo.safetensors import read_file, read_header

WEIGHTS, PICKLED = "adapter_model.safetensors", "adapter_model.bin"
PREFIX = "base_model.model."
ORIGIN = "homezoo"  # key of the safetensors metadata that holds an adapter's GGUF keys as JSON
# Module, A or B, and the adapter's name where it was not dropped.
_PART = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.[^.]+)?\.weight")
# Other tensors that PEFT saves, and what they are.
_OTHERS = {
    "lora_magnitude_vector": "DoRA",
    "lora_embedding": "a change of the embedding",
    "lora_B.bias": "lora_bias",
    "modules_to_save": "a whole module",
}


def read_peft(folder: Path, model: ModelConfig) -> tuple[Adapter, list[str]]:
    """The adapter in a folder for a model's GGUF file, and notes on what the user should know.

    Deltas equal PEFT's: rank-stabilised scales and patterns are folded into B where one alpha for
    all cannot say them. Raises CheckpointError for a damaged folder, UnsupportedError, by name, for
    what an adapter of weights cannot carry.
    """
    config = read_peft_config(folder)
    names = PeftNames(model)
    pairs: dict[str, Pair] = {}
    scales: dict[str, float] = {}
    for module, pair in _pairs(folder, config).items():
        place = names.of_module(module)
        if place is None:
            raise UnsupportedError(
                f"{folder} changes {module}, for which a {model.architecture} file has no weight "
                "of its own that an adapter can change"
            )
        pairs[place.weight] = _reordered(folder, place, names, pair)
        scales[place.weight] = config.scale_of(module)
    alpha, folded = _fold(pairs, scales)
    keys = _origin(folder, config, folded)
    try:
        return Adapter(model.architecture, alpha, folded, keys), list(config.notes)
    except HomezooError as error:
        raise CheckpointError(f"{folder}: {error}") from None


def _pairs(folder: Path, config: PeftConfig) -> dict[str, Pair]:
    """Module to A [r, K] and B [N, r] as they were saved."""
    halves: dict[str, dict[str, np.ndarray]] = {}
    for name, values in _tensors(folder):
        found = _PART.fullmatch(name)
        if found is None:
            meaning = next((text for part, text in _OTHERS.items() if part in name), "unknown")
            raise UnsupportedError(f"{folder} holds {name} ({meaning}), which cannot be carried")
        if values.ndim != 2:
            raise UnsupportedError(
                f"{folder}: {name} has {values.ndim} dimensions; only linear modules can be read"
            )
        halves.setdefault(found[1], {})[found[2]] = values
    pairs = {}
    for module, half in sorted(halves.items()):
        if len(half) != 2:
            raise CheckpointError(f"{folder}: {module} has lora_{next(iter(half))} alone")
        rank = config.rank_of(module)
        if half["A"].shape[0] != rank:
            raise CheckpointError(
                f"{folder}: {module} has rank {half['A'].shape[0]}, its settings say {rank}"
            )
        pairs[module] = half["A"], half["B"]
    return pairs


def _tensors(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and float32 values."""
    if (folder / WEIGHTS).is_file():
        for tensor in read_file(folder / WEIGHTS):
            yield tensor.name, tensor.floats()
    elif (folder / PICKLED).is_file():
        yield from _pickled(folder / PICKLED)
    else:
        raise CheckpointError(f"{folder} has neither {WEIGHTS} nor {PICKLED}; download it again")


def _pickled(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """An old file, through PyTorch's loader that runs nothing of it."""
    try:
        import torch
    except ImportError:
        raise UnsupportedError(
            f"{path} is pickled, which only PyTorch reads safely; pip install 'homezoo[train]', or "
            f"save the adapter with a newer PEFT as {WEIGHTS}"
        ) from None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        items = [(str(name), tensor.float().numpy()) for name, tensor in found.items()]
    except Exception as error:  # the loader raises many kinds for a damaged or hostile file
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} cannot be read: {reason}") from None
    yield from items


def _reordered(folder: Path, place: Place, names: PeftNames, pair: Pair) -> Pair:
    """A as it is, the rows of B in GGUF's order."""
    a, b = pair
    try:
        order = place.order(len(b), names.config)
    except (HomezooError, ValueError) as error:  # rows that do not divide into the model's heads
        raise CheckpointError(
            f"{folder}: {place.module} has {len(b)} rows, which do not fit the model: {error}"
        ) from None
    return np.ascontiguousarray(a), np.ascontiguousarray(b if order is None else b[order])


def _fold(pairs: dict[str, Pair], scales: dict[str, float]) -> tuple[float, dict[str, Pair]]:
    """One alpha for all, so that alpha / r is the scale; where it is not, B takes the rest.

    Most deltas stay as they are: the commonest alpha is chosen.
    """
    alphas = {name: scales[name] * len(a) for name, (a, _) in pairs.items()}
    if len(set(alphas.values())) > 1 and set(scales.values()) == {1.0}:
        return 0.0, pairs  # B A as it is, whatever its rank
    counts: dict[float, int] = {}
    for value in alphas.values():
        counts[value] = counts.get(value, 0) + 1
    alpha = max(counts, key=lambda value: counts[value], default=0.0)
    alpha = float(np.float32(alpha))  # as the file keeps it
    folded = {}
    for name, (a, b) in pairs.items():
        rest = alphas[name] / alpha
        near = abs(rest - 1) < np.finfo(np.float32).eps  # only what the file's alpha was rounded by
        folded[name] = (a, b if near else (b * rest).astype(np.float32))
    return alpha, folded


def _origin(folder: Path, config: PeftConfig, pairs: dict[str, Pair]) -> dict[str, Any]:
    """GGUF keys: those that homezoo wrote, else what the folder's card and settings say."""
    if (folder / WEIGHTS).is_file():
        stored = read_header(folder / WEIGHTS).get("__metadata__") or {}
        try:
            found = json.loads(stored.get(ORIGIN, "null"))
        except (ValueError, AttributeError, TypeError, RecursionError):
            found = None
        if isinstance(found, dict):
            plain = (str, int, float, bool)
            return {str(key): value for key, value in found.items() if isinstance(value, plain)}
    keys = card_metadata(folder, sum(a.size + b.size for a, b in pairs.values()))
    del keys["general.type"], keys["general.size_label"]
    if config.base and "general.base_model.count" not in keys:
        name = config.base if config.base.count("/") == 1 else Path(config.base).name
        keys |= origin_keys(base_name=name.strip("/"))
    return keys
