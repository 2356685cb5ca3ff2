"""What turns a Hugging Face architecture into a GGUF one: names, changes of tensors, metadata."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.zoo.hf_config import HFConfig

# From a tensor's floats [shape] and the config to the floats that GGUF wants.
Change = Callable[[np.ndarray, HFConfig], np.ndarray]


class Half(Enum):
    """Which rows of two weights in one belong to the wanted one."""

    FIRST = 0
    SECOND = 1
    EVEN = 2  # rows in turn, as in gpt-oss
    ODD = 3

    def of(self, rows: int) -> slice:
        """These rows of so many."""
        if self in (Half.EVEN, Half.ODD):
            return slice(int(self is Half.ODD), rows, 2)
        middle = rows // 2
        return slice(0, middle) if self is Half.FIRST else slice(middle, rows)


@dataclass(frozen=True)
class Rule:
    """Where a tensor goes. `target` may hold {layer}, and {expert} when experts are stacked."""

    target: str
    change: Change | None = None
    transposed: bool = False  # GPT-2 keeps its weights [K, N]
    stacked: bool = False  # holds all experts, of which each is treated by itself
    half: Half | None = None  # of its rows, after transposing


@dataclass(frozen=True)
class Recipe:
    """One Hugging Face architecture: a small table.

    `tensors` maps names, in which {layer} and {expert} stand for numbers, to rules (several where
    one tensor becomes several) or, where nothing changes, to GGUF names. `ignored` are such names
    of what GGUF does not keep; * at their end stands for anything.
    """

    architecture: str  # general.architecture
    tensors: Mapping[str, "Rule | str | tuple[Rule, ...]"]
    metadata: Callable[[HFConfig], dict[str, Any]]  # keys without the architecture before them
    ignored: tuple[str, ...] = ()
    computed: Callable[[HFConfig], dict[str, np.ndarray]] = lambda _: {}  # tensors made anew
    part: str | None = None  # key of config.json that holds the text model's values
    tied: bool = False  # what a config.json without tie_word_embeddings means
    packed: str | None = None  # the quant_method that can be read all the same
    notes: Callable[[HFConfig], list[str]] = lambda _: []  # what the user should know
    beside: Callable[[Path], dict[str, Any]] = lambda _: {}  # keys from the folder's other files
    _patterns: list[tuple["re.Pattern[str]", tuple[Rule, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, given in self.tensors.items():
            one = Rule(given) if isinstance(given, str) else given
            self._patterns.append((_pattern(name), one if isinstance(one, tuple) else (one,)))
        self._patterns.extend((_pattern(name), ()) for name in self.ignored)

    def find(self, name: str) -> tuple[tuple[Rule, ...], dict[str, int]] | None:
        """The rules of a tensor (none for an ignored one) and its numbers; None if unknown."""
        for pattern, rules in self._patterns:
            if found := pattern.fullmatch(name):
                return rules, {key: int(number) for key, number in found.groupdict().items()}
        return None


def _pattern(name: str) -> "re.Pattern[str]":
    escaped = re.escape(name)
    for mark in ("layer", "expert"):
        escaped = escaped.replace(rf"\{{{mark}\}}", rf"(?P<{mark}>\d{{1,5}})")
    return re.compile(re.sub(r"\\\*$", ".*", escaped))


def interleave_halves(heads_key: str) -> Change:
    """Reorders the rows of each head so that values that turn together are neighbours.

    Hugging Face pairs value i with i + E/2 of a head, GGUF's llama pairs 2i with 2i + 1. For
    weights [heads * E, D] and biases [heads * E].
    """

    def change(values: np.ndarray, config: HFConfig) -> np.ndarray:
        heads = config.integer(heads_key, config.integer("num_attention_heads"))
        halves = values.reshape(heads, 2, -1, *values.shape[1:])  # [heads, 2, E/2, ...]
        return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)

    return change


def plus_one(values: np.ndarray, config: HFConfig) -> np.ndarray:
    """Norms that are kept as what they differ from 1 by (Gemma)."""
    return values + np.float32(1)
