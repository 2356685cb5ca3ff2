"""An adapter to a PEFT folder that transformers, vLLM and others load beside the original base."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.errors import OptionError, UnsupportedError
from homezoo.formats.adapter_file import Adapter
from homezoo.models.config import ModelConfig
from homezoo.zoo.licence_table import AND
from homezoo.zoo.peft_config import CONFIG
from homezoo.zoo.peft_names import PeftNames, Place
from homezoo.zoo.peft_read import ORIGIN, PREFIX, WEIGHTS


def write_peft(folder: Path, adapter: Adapter, model: ModelConfig, base: str) -> None:
    """Writes the folder whole, or nothing. `base` is the hub's name of the original model.

    Raises OptionError for a folder that is there already, UnsupportedError for a weight without a
    module of its own.
    """
    if folder.exists():
        raise OptionError(f"{folder} exists already; give the name of a new folder")
    names = PeftNames(model)
    places = {name: _place(names, name) for name in adapter.deltas}
    tensors: dict[str, np.ndarray] = {}
    for name, (a, b) in adapter.deltas.items():
        order = places[name].order(len(b), names.config)
        rows = b if order is None else b[np.argsort(order)]
        tensors[f"{PREFIX}{places[name].module}.lora_A.weight"] = a
        tensors[f"{PREFIX}{places[name].module}.lora_B.weight"] = rows
    settings = _settings(adapter, places, names, base)
    trial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        trial.mkdir(parents=True)
        text = json.dumps(settings, indent=2) + "\n"
        _write(trial / CONFIG, text.encode())
        _write(trial / WEIGHTS, safetensors_bytes(tensors, _origin(adapter)))
        _write(trial / "README.md", _card(adapter, base).encode())
        os.replace(trial, folder)
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _place(names: PeftNames, weight: str) -> Place:
    place = names.of_weight(weight)
    if place is None:
        raise UnsupportedError(
            f"{weight} has no module of its own in the original model, so PEFT cannot change it"
        )
    return place


def _settings(
    adapter: Adapter, places: Mapping[str, Place], names: PeftNames, base: str
) -> dict[str, Any]:
    """adapter_config.json: the commonest rank for all, others by the names of their modules."""
    ranks = {places[name].module: adapter.rank_of(name) for name in adapter.deltas}
    listed = list(ranks.values())
    rank = max(set(listed), key=listed.count)
    others = {module: found for module, found in ranks.items() if found != rank}
    alpha = adapter.alpha or float(rank)  # 0 says B A as it is: alpha equal to each rank
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "lora_dropout": 0.0,
        "target_modules": _targets(ranks, names),
        "rank_pattern": others,
        "alpha_pattern": {} if adapter.alpha else others,
        "fan_in_fan_out": any(place.transposed for place in places.values()),
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "init_lora_weights": True,
        "inference_mode": True,
    }


def _targets(modules: Mapping[str, int], names: PeftNames) -> list[str]:
    """Last names of the modules where all of that name are changed, else whole names."""
    endings: dict[str, int] = {}
    for module in modules:
        ending = module.rpartition(".")[2]
        endings[ending] = endings.get(ending, 0) + 1
    everywhere = names.layer_count_by_ending
    if all(everywhere[ending] == count for ending, count in endings.items()):
        return sorted(endings)
    return sorted(modules)


def _origin(adapter: Adapter) -> dict[str, str]:
    """The safetensors metadata; values must be texts."""
    plain = {k: v for k, v in adapter.metadata.items() if isinstance(v, str | int | float | bool)}
    return {"format": "pt", ORIGIN: json.dumps(plain, sort_keys=True)}


def _card(adapter: Adapter, base: str) -> str:
    """A model card with what is known of base, data and licence."""
    keys = adapter.metadata
    data = keys.get("general.dataset.0.name")
    licence = keys.get("general.license")
    lines = ["---", "library_name: peft", f"base_model: {json.dumps(base)}"]
    lines += [f"datasets: [{json.dumps(data)}]"] if isinstance(data, str) else []
    if isinstance(licence, str) and AND in licence:  # the hub's `license` takes one alone
        lines += ["license: other", f"license_name: {json.dumps(licence)}"]
    elif isinstance(licence, str):
        lines += [f"license: {json.dumps(licence)}"]
    weights = f"{len(adapter.deltas)} weights, {adapter.parameters:,} numbers"
    return "\n".join([*lines, "---", "", f"A LoRA adapter of {weights}, written by homezoo.", ""])


def safetensors_bytes(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """A whole safetensors file of float32 arrays."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    parts, end = [], 0
    for name in sorted(tensors):
        raw = np.ascontiguousarray(tensors[name], "<f4").tobytes()
        place = [end, end + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": place}
        parts.append(raw)
        end += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned, as the format advises
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
