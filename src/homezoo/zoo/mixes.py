"""Which tensor gets which block format in the usual mixes, such as Q4_K_M.

The rules are llama.cpp's (`llama_tensor_get_type` in its llama-quant.cpp): values, the way down,
the output and some layers get more bits, as they harm most. What does not fit a format falls back
to one of blocks of 32, and last to F16, as there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from homezoo.errors import OptionError
from homezoo.formats.block_types import BlockType as T

# Mixes by name, and the format of the tensors that no rule changes.
MIXES: dict[str, T] = {
    "F32": T.F32, "F16": T.F16, "BF16": T.BF16,
    "Q4_0": T.Q4_0, "Q4_1": T.Q4_1, "Q5_0": T.Q5_0, "Q5_1": T.Q5_1, "Q8_0": T.Q8_0,
    "Q2_K": T.Q2_K, "Q2_K_S": T.Q2_K, "Q3_K_S": T.Q3_K, "Q3_K_M": T.Q3_K, "Q3_K_L": T.Q3_K,
    "Q4_K_S": T.Q4_K, "Q4_K_M": T.Q4_K, "Q5_K_S": T.Q5_K, "Q5_K_M": T.Q5_K, "Q6_K": T.Q6_K,
    "IQ4_NL": T.IQ4_NL, "IQ4_XS": T.IQ4_XS, "MXFP4": T.MXFP4,
}  # fmt: skip
SAME_AS = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}  # as people call them
FLOATS = (T.F32, T.F16, T.BF16)
# For rows that are no multiple of 256: a format of blocks of 32 with at least as many bits.
_NARROW = {
    T.Q2_K: T.IQ4_NL, T.Q3_K: T.IQ4_NL, T.IQ4_XS: T.IQ4_NL,
    T.Q4_K: T.Q5_0, T.Q5_K: T.Q5_1, T.Q6_K: T.Q8_0,
}  # fmt: skip
# Small weights of which every bit matters: positions, token types, the choice of experts.
_KEPT = ("_norm.weight", "ffn_gate_inp.weight", "position_embd.weight", "token_types.weight")
_FEW_GROUPS = 4  # query heads to a key-value head, from which values are small and dear
_EXPERTS = 8  # of Mixtral, whose shared attention weighs little in bytes


@dataclass(frozen=True)
class ModelFacts:
    """What the rules ask about a model."""

    layers: int
    groups: int  # query heads to a key-value head
    experts: int
    has_output: bool  # a matrix of its own instead of the embedding's
    is_falcon: bool = False


def find_mix(name: str) -> str:
    """The mix's own name; OptionError for an unknown one."""
    mix = SAME_AS.get(name.upper(), name.upper())
    if mix not in MIXES:
        raise OptionError(f"--type is {name}; expected one of {', '.join([*MIXES, *SAME_AS])}")
    return mix


def is_quantised(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a mix may change the tensor: matrices do, norms, biases and small tables do not."""
    return len(shape) >= 2 and name.endswith("weight") and not name.endswith(_KEPT)


def tensor_type(mix: str, name: str, shape: tuple[int, ...], facts: ModelFacts) -> T:
    """The format that a tensor gets, by the mix's rule and by what its rows fit."""
    wanted = _wanted(mix, name, shape, facts)
    if shape[-1] % wanted.block_size == 0:
        return wanted
    narrow = _NARROW.get(wanted, wanted)
    return narrow if shape[-1] % narrow.block_size == 0 else T.F16


def _wanted(mix: str, name: str, shape: tuple[int, ...], facts: ModelFacts) -> T:
    base = MIXES[mix]
    if base in FLOATS:
        return base
    if name == "output.weight" or (name == "token_embd.weight" and not facts.has_output):
        if mix == "MXFP4" or facts.is_falcon or shape[-1] % base.block_size or base is T.Q8_0:
            return T.Q8_0
        return T.Q6_K
    if mix == "MXFP4":
        return T.MXFP4 if len(shape) > 2 else T.Q8_0
    if not name.startswith("blk."):
        return base
    layer, part = int(name.split(".")[1]), name.split(".")[2].removesuffix("_exps")
    if part == "attn_v":
        return _values(mix, base, layer, facts)
    if part == "attn_k":
        return T.Q8_0 if facts.experts == _EXPERTS else base
    if part == "ffn_down":
        return _down(mix, base, layer, facts)
    if part == "attn_output":
        return _attention_output(mix, base, facts)
    if part == "attn_qkv":
        fused = {"Q3_K_M": T.Q4_K, "Q3_K_L": T.Q4_K, "Q4_K_M": T.Q5_K, "Q5_K_M": T.Q6_K}
        return fused.get(mix, base)
    return base


def _more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    first = layers // 8
    return layer < first or layer >= 7 * layers // 8 or (layer - first) % 3 == 2


def _values(mix: str, base: T, layer: int, facts: ModelFacts) -> T:
    if facts.experts == _EXPERTS:
        return T.Q8_0
    many = facts.groups >= _FEW_GROUPS
    if mix == "Q2_K":
        return T.Q4_K if many else T.Q3_K
    if mix == "Q2_K_S" and many:
        return T.Q4_K
    if mix == "Q3_K_M":
        return T.Q5_K if layer < 2 else T.Q4_K
    if mix == "Q3_K_L" or (mix in ("IQ4_NL", "IQ4_XS") and many):
        return T.Q5_K
    if mix in ("Q4_K_M", "Q5_K_M") and _more_bits(layer, facts.layers):
        return T.Q6_K
    return T.Q5_K if mix == "Q4_K_S" and layer < 4 else base


def _down(mix: str, base: T, layer: int, facts: ModelFacts) -> T:
    layers = facts.layers
    first_eighth, more = layer < layers // 8, _more_bits(layer, layers)
    if mix == "Q2_K":
        return T.Q3_K
    if mix == "Q2_K_S" and first_eighth:
        return T.Q4_K
    if mix == "Q3_K_M":
        if layer < layers // 16:
            return T.Q5_K
        return T.Q4_K if not facts.is_falcon or more else T.Q3_K
    if mix == "Q3_K_L":
        return T.Q4_K if facts.is_falcon else T.Q5_K
    if mix == "Q4_K_M" and facts.is_falcon:
        return T.Q6_K if layer < layers // 16 else T.Q5_K if more else T.Q4_K
    if mix in ("Q4_K_M", "Q5_K_M") and more:
        return T.Q6_K
    if mix in ("IQ4_NL", "IQ4_XS") and first_eighth:
        return T.Q5_K
    return T.Q5_K if mix == "Q4_K_S" and first_eighth and not facts.is_falcon else base


def _attention_output(mix: str, base: T, facts: ModelFacts) -> T:
    if facts.is_falcon:
        return T.Q4_K if mix == "Q3_K_L" else base
    if facts.experts == _EXPERTS:
        dear = ("Q2_K", "Q3_K_S", "Q3_K_M", "IQ4_NL", "IQ4_XS", "Q4_K_S", "Q4_K_M")
        return T.Q5_K if mix in dear else base
    by_mix: Mapping[str, T] = {"Q2_K": T.Q3_K, "Q3_K_M": T.Q4_K, "Q3_K_L": T.Q5_K}
    return by_mix.get(mix, base)
