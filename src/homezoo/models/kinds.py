"""The supported architectures, and the facts of each that no key of a GGUF file says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What follows from `general.architecture` alone."""

    halves: bool = True  # which values of a head turn together: (i, i + P), or else (2i, 2i + 1)
    layer_norm: bool = False  # norms take the mean away and have biases; else RMS norms
    windows: bool = False  # a sliding window may be given
    full_every: int = 0  # of so many layers the last sees all positions; 0: all slide alike
    unrotated_every: int = 0  # of so many layers the last leaves q and k unrotated; 0: none
    experts: bool = False  # feed-forward networks may be mixtures of experts
    causal: bool = True
    learned_positions: bool = False  # a table of positions: none beyond its end
    whole_yarn_pairs: bool = True  # YaRN's ramp begins and ends at whole pairs


# Files of "llama" (Mistral and Mixtral too) and "smollm3" have the rows of attn_q and attn_k
# reordered so that pairs are neighbours; GPT-J was trained so; the others keep the two halves.
KINDS: dict[str, Kind] = {
    "llama": Kind(halves=False, windows=True, experts=True),
    "qwen2": Kind(),
    "qwen3": Kind(),
    "qwen3moe": Kind(experts=True),
    "bloom": Kind(layer_norm=True),
    "gpt2": Kind(layer_norm=True, learned_positions=True),
    "gptj": Kind(halves=False, layer_norm=True),
    "gptneox": Kind(layer_norm=True),
    "gemma2": Kind(windows=True, full_every=2),
    "gemma3": Kind(windows=True, full_every=6),
    "phi3": Kind(windows=True),
    "smollm3": Kind(halves=False, unrotated_every=4),
    "gpt-oss": Kind(windows=True, full_every=2, experts=True, whole_yarn_pairs=False),
    "bert": Kind(layer_norm=True, causal=False, learned_positions=True),
}
