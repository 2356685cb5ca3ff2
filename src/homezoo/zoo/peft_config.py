"""adapter_config.json of a PEFT folder: what changes the arithmetic, and what cannot be followed.

Read in peft 0.21.2, src/peft/tuners/lora/config.py; files of 2023 have keys that are gone since.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

from homezoo.errors import CheckpointError, UnsupportedError
from homezoo.zoo.safetensors import read_json

CONFIG = "adapter_config.json"
# Settings with which an adapter is more than low-rank changes of weights, and what they mean.
_REFUSED = {
    "use_dora": "DoRA",
    "lora_bias": "biases beside the low-rank change",
    "modules_to_save": "whole modules saved with the adapter",
    "layer_replication": "layers used several times",
    "trainable_token_indices": "new rows of the embedding",
    "target_parameters": "changes of parameters that are no module",
    "alora_invocation_tokens": "activated LoRA",
    "use_qalora": "QA-LoRA",
    "enable_lora": "the merged linear layers of PEFT before 0.3",
    "megatron_config": "Megatron's parallel layers",
    "arrow_config": "Arrow routing",
    "use_bdlora": "block-diagonal LoRA",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
}
# Initialisations that change the base too: the adapter means something only beside that base.
_CHANGED_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
# Settings that say which modules, how it was trained, or who made it: the tensors show what counts.
_HARMLESS = {
    "alpha_pattern", "auto_mapping", "base_model_class", "base_model_name_or_path", "bias",
    "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out",
    "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform", "loftq_config",
    "lora_alpha", "lora_dropout", "lora_ga_config", "megatron_core", "merge_weights",
    "parent_library", "peft_type", "peft_version", "qalora_group_size", "r", "rank_pattern",
    "revision", "runtime_config", "target_modules", "task_type", "use_rslora",
}  # fmt: skip
_LONGEST_PATTERN, _MOST_REPEATS = 200, 3  # so that no pattern takes longer than a moment


@dataclass(frozen=True)
class PeftConfig:
    """What is needed to know each module's scale, and where the adapter comes from."""

    rank: int
    alpha: float
    rank_stabilised: bool
    ranks: Mapping[str, int] = field(default_factory=dict)  # by pattern of the module's name
    alphas: Mapping[str, float] = field(default_factory=dict)
    base: str | None = None  # base_model_name_or_path
    notes: tuple[str, ...] = ()

    def rank_of(self, module: str) -> int:
        """r of a module."""
        return int(self.ranks.get(_matching(self.ranks, module), self.rank))

    def scale_of(self, module: str) -> float:
        """alpha / r, or alpha / sqrt(r) when rank-stabilised (Kalajdzievski 2023)."""
        rank = self.rank_of(module)
        alpha = float(self.alphas.get(_matching(self.alphas, module), self.alpha))
        return alpha / (sqrt(rank) if self.rank_stabilised else rank)


def read_peft_config(folder: Path) -> PeftConfig:
    """The folder's settings. Unknown ones that say something are noted, never dropped in silence.

    Raises CheckpointError for a folder without them or with wrong ones, UnsupportedError, by name,
    for an adapter that is more than LoRA.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {CONFIG}; give the folder of a PEFT adapter")
    values = read_json(path)
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds {type(values).__name__}; expected an object")
    _refuse(path, values)
    unknown = sorted(key for key in values.keys() - _HARMLESS - _REFUSED.keys() if values[key])
    base = values.get("base_model_name_or_path")
    return PeftConfig(
        rank=_number(path, "r", values.get("r"), whole=True),
        alpha=_number(path, "lora_alpha", values.get("lora_alpha")),
        rank_stabilised=bool(values.get("use_rslora")),
        ranks=_patterns(path, "rank_pattern", values, whole=True),
        alphas=_patterns(path, "alpha_pattern", values),
        base=base if isinstance(base, str) and base else None,
        notes=(f"{CONFIG}: not known and ignored: {', '.join(unknown)}",) if unknown else (),
    )


def _refuse(path: Path, values: Mapping[str, Any]) -> None:
    kind = values.get("peft_type")
    if kind != "LORA":
        raise UnsupportedError(f"{path}: peft_type is {kind!r}; only LORA can be read")
    for key, meaning in _REFUSED.items():
        if values.get(key):
            raise UnsupportedError(
                f"{path}: {key} is {values[key]!r:.60}: {meaning} cannot be carried by a GGUF "
                "adapter; train without, or merge it with PEFT and convert the whole model"
            )
    if values.get("bias", "none") not in ("none", None):
        raise UnsupportedError(
            f"{path}: bias is {values['bias']!r}: trained biases cannot be carried by a GGUF "
            "adapter; train with bias 'none'"
        )
    start = values.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGED_BASE):
        raise UnsupportedError(
            f"{path}: init_lora_weights is {start!r}, which changed the base as well; save it with "
            "PEFT's path_initial_model_for_weight_conversion first"
        )


def _number(path: Path, key: str, value: Any, whole: bool = False) -> Any:
    """A finite number other than 0, whole and from 1 for a rank; CheckpointError."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not isfinite(value) or value == 0 or (whole and (value < 1 or value % 1)):
        raise CheckpointError(
            f"{path}: {key} is {value!r:.60}; expected a number{', from 1' if whole else ' not 0'}"
        )
    return value


def _patterns(path: Path, key: str, values: Mapping[str, Any], whole: bool = False) -> Any:
    found = values.get(key) or {}
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: {key} is {found!r:.60}; expected an object")
    for pattern, value in found.items():
        _number(path, f"{key} {pattern!r:.60}", value, whole)
        repeats = len(re.findall(r"[*+{]", pattern))
        nested = re.search(r"\)\s*[*+{]", pattern)
        if len(pattern) > _LONGEST_PATTERN or repeats > _MOST_REPEATS or nested:
            raise UnsupportedError(f"{path}: {key} has the pattern {pattern!r:.60}; use names")
        try:
            re.compile(pattern)
        except re.error as error:
            raise CheckpointError(f"{path}: {key}: {pattern!r:.60} is wrong: {error}") from None
    return found


def _matching(patterns: Mapping[str, Any], module: str) -> str:
    """The first pattern that a module's name ends with, as PEFT finds it; empty when none does."""
    for pattern in patterns:
        if re.match(rf"(.*\.)?({pattern})$", module):
            return pattern
    return ""
