"""Rotary positions: the frequencies and magnitude that a file's metadata and tensors ask for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from homezoo.errors import GGUFError, UnsupportedError
from homezoo.formats.block_types import BlockType
from homezoo.formats.tensor import Tensor
from homezoo.models.kinds import Kind
from homezoo.models.metadata import MetadataReader

SMALLEST = 1e-12  # of any factor or base, and 1 / largest: keeps every frequency finite
SCALINGS = ("none", "linear", "yarn")
KEYS = {  # of the numbers above 0
    "base": "rope.freq_base",
    "factor": "rope.scaling.factor",
    "attention_factor": "rope.scaling.attn_factor",
    "beta_fast": "rope.scaling.yarn_beta_fast",
    "beta_slow": "rope.scaling.yarn_beta_slow",
}
FACTORS_TENSOR = "rope_freqs.weight"
SHORT_FACTORS_TENSOR = "rope_factors_short.weight"  # Phi-3: up to the original context
LONG_FACTORS_TENSOR = "rope_factors_long.weight"  # and beyond it


@dataclass(frozen=True)
class RopeConfig:
    """How positions turn the pairs of a head (Su et al. 2021), and how longer contexts scale them.

    `scaling` is none, linear (Chen et al. 2023) or yarn (Peng et al. 2023). Llama 3's scaling is no
    name in GGUF but a tensor of `factors` that divide the frequencies; it may join any `scaling`.
    """

    dimensions: int  # values of each head that turn; even
    base: float = 10000.0
    halves: bool = False  # pairs (i, i + dimensions/2) instead of (2i, 2i + 1)
    scaling: str = "none"
    factor: float = 1.0  # how many times longer the context became
    original_context: int = 0  # positions before scaling; yarn only
    attention_factor: float = 1.0  # multiplies cos and sin, whatever the scaling
    extrapolation: float = 1.0  # yarn: how much of the high frequencies is left unscaled, 0 to 1
    beta_fast: float = 32.0  # yarn: turns over the original context above which nothing is scaled
    beta_slow: float = 1.0  # yarn: turns below which everything is scaled
    whole_pairs: bool = True  # yarn: the ramp begins and ends at whole pairs
    log_multiplier: float = 0.0  # yarn: DeepSeek's mscale_all_dim, 0 for none
    factors: tuple[float, ...] = ()  # [dimensions / 2] divisors of the frequencies, or empty

    def __post_init__(self) -> None:
        if self.dimensions < 2 or self.dimensions % 2:
            raise GGUFError(
                f"rope.dimension_count is {self.dimensions}; expected an even number from 2"
            )
        if self.scaling not in SCALINGS:
            raise UnsupportedError(
                f"rope.scaling.type is {self.scaling!r}; supported: {', '.join(SCALINGS)}"
            )
        for name, key in KEYS.items():
            value = getattr(self, name)
            if not SMALLEST <= value <= 1 / SMALLEST:
                raise GGUFError(f"{key} is {value}; expected {SMALLEST:g} to {1 / SMALLEST:g}")
        if self.scaling == "yarn" and (self.original_context < 1 or self.base == 1.0):
            raise GGUFError(
                f"yarn with original_context_length {self.original_context} and freq_base "
                f"{self.base}; expected a context from 1 and a base other than 1"
            )
        if self.factors and len(self.factors) != self.dimensions // 2:
            raise GGUFError(
                f"{FACTORS_TENSOR} has {len(self.factors)} values; "
                f"rope.dimension_count {self.dimensions} needs {self.dimensions // 2}"
            )
        wrong = [value for value in self.factors if not SMALLEST <= value <= 1 / SMALLEST]
        if wrong:
            raise GGUFError(
                f"{FACTORS_TENSOR} has the value {wrong[0]}; "
                f"expected {SMALLEST:g} to {1 / SMALLEST:g}"
            )

    @staticmethod
    def from_metadata(
        reader: MetadataReader,
        tensors: Mapping[str, Tensor],
        head_width: int,
        context: int,
        kind: Kind,
    ) -> "RopeConfig":
        """Reads `<architecture>.rope.*` and the tensor of factors.

        Raises GGUFError with key and value for a wrong one, UnsupportedError for another scaling.
        """
        factor = reader.real("rope.scaling.factor", 0.0, open_end=False)
        # Old files have scale_linear; 0 is how llama.cpp writes "not scaled".
        factor = factor or reader.real("rope.scale_linear", 0.0, open_end=False) or 1.0
        scaling = reader.text("rope.scaling.type", "linear" if factor != 1.0 else "none")
        dimensions = reader.integer("rope.dimension_count", head_width, maximum=head_width)
        rope = RopeConfig(
            dimensions=dimensions,
            base=reader.real("rope.freq_base", 10000.0),
            halves=kind.halves,
            whole_pairs=kind.whole_yarn_pairs,
            scaling=scaling,
            factor=factor,
            original_context=reader.integer("rope.scaling.original_context_length", context),
            attention_factor=reader.real("rope.scaling.attn_factor", 1.0),
            extrapolation=_extrapolation(reader),
            beta_fast=reader.real("rope.scaling.yarn_beta_fast", 32.0),
            beta_slow=reader.real("rope.scaling.yarn_beta_slow", 1.0),
            log_multiplier=reader.real("rope.scaling.yarn_log_multiplier", 0.0, open_end=False),
            factors=_factors(tensors),
        )
        rope._refuse_ambiguous_magnitude(reader)
        return rope

    def frequencies(self) -> np.ndarray:
        """Radians per position of each pair: float64 [dimensions / 2]."""
        pairs = np.arange(0, self.dimensions, 2, dtype=np.float64)  # [P]
        unscaled = self.base ** (-pairs / self.dimensions)  # [P]
        if self.factors:
            unscaled = unscaled / np.asarray(self.factors, dtype=np.float64)
        if self.scaling == "none":
            return unscaled
        if self.scaling == "linear":
            return unscaled / self.factor
        kept = self._yarn_kept() * self.extrapolation  # [P]
        return unscaled / self.factor * (1 - kept) + unscaled * kept

    def magnitude(self) -> float:
        """What cos and sin are multiplied by (Peng et al. 2023, section 3.4)."""
        if self.scaling != "yarn" or self.extrapolation == 0.0:
            return self.attention_factor
        top = _yarn_magnitude(self.factor, 1.0)
        bottom = _yarn_magnitude(self.factor, self.log_multiplier)
        return top / bottom * self.attention_factor

    def _yarn_kept(self) -> np.ndarray:
        """1 for pairs fast enough to keep, 0 for those to interpolate, a ramp between: float64 [P].

        Peng et al. 2023, equations 17 to 20, the ends rounded outwards to whole pairs or not.
        """
        low, high = map(self._pair_with_turns, (self.beta_fast, self.beta_slow))
        if self.whole_pairs:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, self.dimensions - 1)
        width = max(high - low, 0.001)  # a ramp of no width is a step
        ramp = (np.arange(self.dimensions // 2, dtype=np.float64) - low) / width
        return 1.0 - np.clip(ramp, 0.0, 1.0)

    def _pair_with_turns(self, turns: float) -> float:
        """The (fractional) pair that turns so often within the original context."""
        wavelength = self.original_context / (turns * 2 * math.pi)
        return self.dimensions * math.log(wavelength) / (2 * math.log(self.base))

    def _refuse_ambiguous_magnitude(self, reader: MetadataReader) -> None:
        """`yarn_attn_factor` is written for two settings that mean different things.

        Converters store Transformers' attention_factor (the whole magnitude) and the older
        attn_factor (a multiplier) under one key; llama.cpp ignores it. 1 is its neutral value
        there, and the formula's own value says nothing new; others cannot be told apart.
        """
        key = "rope.scaling.yarn_attn_factor"
        given = reader.real(key, 1.0)
        if self.scaling == "yarn" and given != 1.0 and abs(given - self.magnitude()) > 1e-3:
            raise UnsupportedError(
                f"{reader.full_key(key)} is {given:g}; expected none, 1 or {self.magnitude():.4g} "
                "(use rope.scaling.attn_factor to change the magnitude)"
            )


def _yarn_magnitude(factor: float, multiplier: float) -> float:
    """0.1 · multiplier · ln(factor) + 1 (Peng et al. 2023, equation 22)."""
    return 1.0 if factor <= 1.0 else 0.1 * multiplier * math.log(factor) + 1.0


def _extrapolation(reader: MetadataReader) -> float:
    value = reader.real("rope.scaling.yarn_ext_factor", 1.0, minimum=-math.inf)
    if value < 0.0:  # negative is how llama.cpp writes "not set"
        return 1.0
    if value > 1.0:
        key = reader.full_key("rope.scaling.yarn_ext_factor")
        raise GGUFError(f"{key} is {value:g}; expected 0 to 1")
    return value


def _factors(tensors: Mapping[str, Tensor]) -> tuple[float, ...]:
    tensor = tensors.get(FACTORS_TENSOR) or tensors.get(SHORT_FACTORS_TENSOR)
    if tensor is None:
        return ()
    if tensor.type is not BlockType.F32 or len(tensor.shape) != 1:
        raise GGUFError(
            f"{tensor.name} is {tensor.type.name} of shape {tensor.shape}; "
            "expected F32 with one dimension"
        )
    return tuple(tensor.data.reshape(-1).view(np.float32).astype(np.float64).tolist())
