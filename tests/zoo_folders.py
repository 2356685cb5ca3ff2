"""Hugging Face folders of every architecture of zoo_cases.py, laid out as real checkpoints are."""

import json
from pathlib import Path
from typing import Any

import hf_folders
import numpy as np
import tokenizers
from random_models import RandomModel
from zoo_cases import CASES, hf_states, zoo_file

from homezoo.text.pretokenizers import pretokenizer

CONVERTED = [name for name in CASES if name != "bloom"]  # test_convert_bloom.py has that
GEMMA = ("gemma2", "gemma3")
# The names of Mixtral's checkpoints for gate, up and down; Qwen's have the parts' own.
EXPERT_NAMES = {"mixtral": ("w1", "w3", "w2"), "qwen3moe": ("gate_proj", "up_proj", "down_proj")}
PATTERNS = {"gpt_oss": "gpt-4o", "mixtral": "llama-bpe", "smollm3": "llama-bpe"}


def tokenizer_of(name: str) -> tokenizers.Tokenizer:
    """A tokenizer of the kind that models of the case have."""
    if name == "bert":
        return hf_folders.word_pieces()
    if name in GEMMA:
        return hf_folders.gemma_like()
    if name.startswith("phi3"):
        return hf_folders.sentencepiece_like()
    rule = pretokenizer(PATTERNS.get(name, "gpt-2" if name.startswith("gpt") else "qwen2"))
    return hf_folders.byte_level(rule.patterns[0], rule.ignore_merges)


def config_of(name: str) -> dict[str, Any]:
    """config.json of the case."""
    _, layers, _, kind, settings = CASES[name]
    values = dict(settings) | {"architectures": [kind], "vocab_size": hf_folders.VOCAB}
    values["n_layer" if "n_head" in settings else "num_hidden_layers"] = layers
    if rope := values.pop("rope", None):
        values["rope_parameters"] = rope
    return values


def checkpoint(name: str) -> tuple[RandomModel, dict[str, np.ndarray]]:
    """The case's model with an embedding of hf_folders.VOCAB rows, and its checkpoint's tensors."""
    model = zoo_file(name)
    for key in ("token_embd.weight", "output.weight", "output.bias"):
        if key in model.arrays:
            values = model.arrays[key]
            more = ((0, hf_folders.VOCAB - len(values)), *((0, 0),) * (values.ndim - 1))
            model.arrays[key] = np.pad(values, more)
    return model, _each_expert(name, hf_states(model))


def _each_expert(name: str, states: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Experts one by one, as the checkpoints of Mixtral and Qwen keep them."""
    if name not in EXPERT_NAMES:
        return states
    gate, up, down = EXPERT_NAMES[name]
    place = "block_sparse_moe" if name == "mixtral" else "mlp"
    found: dict[str, np.ndarray] = {}
    for key, values in states.items():
        prefix = key.replace(".mlp.", f".{place}.")
        if not key.endswith(("experts.gate_up_proj", "experts.down_proj")):
            found[prefix] = values
            continue
        prefix = prefix.rsplit(".", 1)[0]
        for number, weight in enumerate(values):
            parts = {down: weight}
            if key.endswith("gate_up_proj"):
                parts = dict(zip((gate, up), np.split(weight, 2), strict=True))
            found |= {f"{prefix}.{number}.{part}.weight": half for part, half in parts.items()}
    return found


def write_checkpoint(name: str, folder: Path) -> RandomModel:
    """The case's folder in two F32 files; gives the model that it holds."""
    model, states = checkpoint(name)
    folder.mkdir(parents=True, exist_ok=True)
    write_shards(folder, states)
    (folder / "config.json").write_text(json.dumps(config_of(name)))
    tokenizer_of(name).save(str(folder / "tokenizer.json"))
    settings = {"chat_template": hf_folders.TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return model


def write_shards(folder: Path, states: dict[str, np.ndarray]) -> None:
    """Two safetensors files and their index."""
    names, places = sorted(states), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"model-0000{number}-of-00002.safetensors"
        tensors = {name: np.ascontiguousarray(states[name]) for name in part}
        hf_folders.write_safetensors(folder / shard, tensors)
        places |= dict.fromkeys(part, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
