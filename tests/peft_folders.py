"""PEFT folders made without PEFT, and what they mean, in Hugging Face's own layout."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from hf_folders import write_safetensors
from random_models import RandomModel, random_model
from transformers_cases import HF_NAMES, halves_from_pairs
from zoo_cases import hf_states, zoo_file

PREFIX = "base_model.model."
RANK, ALPHA = 4, 8


def base_of(kind: str) -> RandomModel:
    """A random model of an architecture, with grouped heads where it has them."""
    return zoo_file(kind) if kind in ("bloom", "gpt2", "gemma2", "phi3") else random_model(kind)


def module_weights(file: RandomModel) -> dict[str, np.ndarray]:
    """Weights of the linear modules by their names in transformers, in its layout [N, K]."""
    architecture = file.metadata["general.architecture"]
    if architecture in ("llama", "qwen2", "qwen3"):
        found = {}
        for name, values in file.arrays.items():
            *place, part, kind = name.split(".")
            if architecture == "llama" and part in ("attn_q", "attn_k"):
                values = halves_from_pairs(values, 4 if part == "attn_q" else 2)
            prefix = f"model.layers.{place[1]}." if place else ""
            found[f"{prefix}{HF_NAMES[part]}.{kind}"] = values
    else:
        found = hf_states(file)
    return {
        name.removesuffix(".weight"): values.T if architecture == "gpt2" else values
        for name, values in found.items()
        if name.endswith(".weight") and values.ndim == 2 and "emb" not in name and "wte" not in name
    }


def random_pairs(
    file: RandomModel, ranks: dict[str, int] | None = None, seed: int = 0
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A and B of every module; `ranks` by the last part of its name."""
    random = np.random.default_rng(seed)
    pairs = {}
    for module, weight in module_weights(file).items():
        if "wpe" in module or module == "lm_head":
            continue
        rank = (ranks or {}).get(module.rpartition(".")[2], RANK)
        a = random.standard_normal((rank, weight.shape[1])).astype(np.float32) / 8
        pairs[module] = a, random.standard_normal((weight.shape[0], rank)).astype(np.float32) / 8
    return pairs


def write_folder(
    folder: Path,
    pairs: dict[str, tuple[np.ndarray, np.ndarray]],
    settings: dict[str, Any] | None = None,
    name: str = "",
) -> Path:
    """A folder as PEFT saves it; `name` of the adapter stands in old files' tensor names."""
    folder.mkdir()
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none"}
    config |= {"base_model_name_or_path": "owner/base", "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps(config | (settings or {})))
    write_safetensors(folder / "adapter_model.safetensors", tensors_of(pairs, name))
    return folder


def tensors_of(
    pairs: dict[str, tuple[np.ndarray, np.ndarray]], name: str = ""
) -> dict[str, np.ndarray]:
    """By the names that PEFT gives them."""
    middle = f".{name}" if name else ""
    return {
        f"{PREFIX}{module}.lora_{letter}{middle}.weight": values
        for module, pair in pairs.items()
        for letter, values in zip("AB", pair, strict=True)
    }
