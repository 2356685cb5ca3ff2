"""A Hugging Face config.json, read with every value checked, and the rope settings inside it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from homezoo.errors import CheckpointError, UnsupportedError


@dataclass(frozen=True)
class HFConfig:
    """The values of a config.json (or of a part of it that describes the text model)."""

    values: Mapping[str, Any]

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return self.values.get(key) is not None

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number from 0; CheckpointError when missing without a default, or another."""
        value = self.values.get(key)
        value = default if value is None else value
        if type(value) is not int or not 0 <= value < 1 << 31:
            raise CheckpointError(f"config.json: {key} is {value!r}; expected a whole number")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """A finite number; CheckpointError when missing without a default, or another."""
        value = self.values.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CheckpointError(f"config.json: {key} is {value!r}; expected a number")
        if not math.isfinite(value):
            raise CheckpointError(f"config.json: {key} is {value}; expected a finite number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """true or false; CheckpointError for another value."""
        value = self.values.get(key)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise CheckpointError(f"config.json: {key} is {value!r}; expected true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """A string; CheckpointError for another value."""
        value = self.values.get(key)
        value = default if value is None else value
        if not isinstance(value, str):
            raise CheckpointError(f"config.json: {key} is {value!r:.60}; expected a string")
        return value

    def refuse_unless(self, key: str, *allowed: Any) -> None:
        """UnsupportedError when the key is there with a value that is not among `allowed`."""
        if self.has(key) and self.values[key] not in allowed:
            raise UnsupportedError(
                f"config.json: {key} is {self.values[key]!r}; "
                f"only {', '.join(map(repr, allowed))} can be converted"
            )

    @property
    def head_width(self) -> int:
        """E: head_dim where it is given, else the width divided by the heads."""
        heads = self.integer("num_attention_heads")
        width = self.integer("hidden_size")
        if not self.has("head_dim") and (heads == 0 or width % heads):
            raise CheckpointError(
                f"config.json: hidden_size {width} is no multiple of num_attention_heads {heads}"
            )
        return self.integer("head_dim", width // max(heads, 1))

    def rope(self) -> "HFConfig":
        """Rope settings: `rope_parameters` (transformers 5), or `rope_scaling` and `rope_theta`."""
        given = self.values.get("rope_parameters") or self.values.get("rope_scaling") or {}
        if not isinstance(given, dict):
            raise CheckpointError(f"config.json: rope_scaling is {given!r:.60}; expected an object")
        base = {key: self.values[key] for key in ("rope_theta",) if self.has(key)}
        return HFConfig(base | given)


def rope_metadata(config: HFConfig, llama3: bool = False) -> dict[str, Any]:
    """The `rope.*` keys of GGUF, without the architecture's name before them.

    Raises UnsupportedError for a scaling that GGUF has no keys for; `llama3` says that the file
    gets the tensor of factors which that scaling is.
    """
    rope = config.rope()
    for place in (config, rope):
        place.refuse_unless("partial_rotary_factor", 1, 1.0)
    keys: dict[str, Any] = {
        "rope.freq_base": rope.real("rope_theta", 10000.0),
        "rope.dimension_count": config.head_width,
    }
    kind = rope.text("rope_type", rope.text("type", "default"))
    if kind == "default" or (kind == "llama3" and llama3):
        return keys
    if kind == "linear":
        return keys | {"rope.scaling.type": kind, "rope.scaling.factor": rope.real("factor")}
    if kind != "yarn":
        raise UnsupportedError(
            f"config.json: the rope scaling {kind!r} cannot be converted; "
            "known: default, linear, yarn, and for LLaMA llama3"
        )
    return keys | _yarn(config, rope)


def _yarn(config: HFConfig, rope: HFConfig) -> dict[str, Any]:
    """Peng et al. 2023. GGUF's attn_factor multiplies the formula's own magnitude."""
    for key in ("mscale", "mscale_all_dim"):
        rope.refuse_unless(key)
    factor = rope.real("factor")
    original = rope.integer(
        "original_max_position_embeddings", config.integer("max_position_embeddings")
    )
    keys = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": factor,
        "rope.scaling.original_context_length": original,
    }
    for theirs, ours in (("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")):
        if rope.has(theirs):
            keys[f"rope.scaling.{ours}"] = rope.real(theirs)
    if rope.has("attention_factor"):
        own = 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0
        keys["rope.scaling.attn_factor"] = rope.real("attention_factor") / own
    return keys


def llama3_factors(config: HFConfig) -> np.ndarray | None:
    """Divisors of the frequencies for Llama 3.1's longer context: float32 [E / 2], or None.

    Slow pairs, which do not turn once in the original context, are slowed by `factor`; fast ones
    stay; between them the two are blended (the formula of transformers' rope type llama3).
    """
    rope = config.rope()
    if rope.text("rope_type", rope.text("type", "default")) != "llama3":
        return None
    factor, low = rope.real("factor"), rope.real("low_freq_factor")
    high = rope.real("high_freq_factor")
    original = rope.integer("original_max_position_embeddings")
    if min(factor, low) <= 0 or high <= low:
        raise CheckpointError(
            f"config.json: llama3 rope with factor {factor}, low_freq_factor {low} and "
            f"high_freq_factor {high}; expected numbers above 0, the last above the second"
        )
    exponents = np.arange(0, config.head_width, 2, dtype=np.float64) / config.head_width  # [P]
    wavelengths = 2 * np.pi * rope.real("rope_theta", 10000.0) ** exponents  # positions per turn
    kept = np.clip((original / wavelengths - low) / (high - low), 0.0, 1.0)  # [P]
    factors: np.ndarray = (1 / ((1 - kept) / factor + kept)).astype(np.float32)
    return factors
