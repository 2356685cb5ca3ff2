"""Modules of a Hugging Face model and weights of its GGUF file: names, and the order of rows.

Both follow from the tables that convert whole models, so an adapter cannot be converted otherwise
than its base was.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from homezoo.errors import UnsupportedError
from homezoo.models.config import ModelConfig
from homezoo.zoo.hf_architectures import recipes
from homezoo.zoo.hf_config import HFConfig
from homezoo.zoo.hf_recipe import Change, Recipe, Rule

_WEIGHT = ".weight"


@dataclass(frozen=True)
class Place:
    """Where the delta of a module goes."""

    module: str  # as Hugging Face calls it, such as model.layers.0.self_attn.q_proj
    weight: str  # as GGUF calls it, without .weight
    transposed: bool  # the module keeps its weight [K, N] (GPT-2)
    change: Change | None  # what reorders the rows

    def order(self, rows: int, config: HFConfig) -> np.ndarray | None:
        """For each row of the GGUF weight the row of the module's: int64 [N]; None: the same."""
        if self.change is None:
            return None
        numbers = np.arange(rows, dtype=np.float32)[:, None]  # exact to 2^24 rows
        order = self.change(numbers, config).reshape(-1).astype(np.int64)
        if not np.array_equal(np.sort(order), np.arange(rows)):
            raise UnsupportedError(
                f"{self.module}: its weight is changed in a way that no adapter can follow"
            )
        return order


class PeftNames:
    """All places of one model, found by module or by weight."""

    def __init__(self, config: ModelConfig) -> None:
        """UnsupportedError for an architecture without a table of names."""
        recipe = _recipe_of(config.architecture)
        self.config = _hf_config(config)
        self._by_module: dict[str, Place] = {}
        self._by_weight: dict[str, Place] = {}
        for place in _places(recipe, config.layers):
            self._by_module[place.module] = place
            known = self._by_weight.get(place.weight)
            if known is None or len(known.module) < len(place.module):  # with its longest prefix
                self._by_weight[place.weight] = place

    def of_module(self, module: str) -> Place | None:
        """The place of a module's delta; None for one that GGUF has no weight for."""
        return self._by_module.get(module)

    def of_weight(self, weight: str) -> Place | None:
        """The place of a GGUF weight's delta; None for one that has no module of its own."""
        return self._by_weight.get(weight)

    @property
    def layer_count_by_ending(self) -> dict[str, int]:
        """How many modules end in each last name, such as q_proj."""
        counts: dict[str, int] = {}
        for place in self._by_weight.values():
            ending = place.module.rpartition(".")[2]
            counts[ending] = counts.get(ending, 0) + 1
        return counts


def _recipe_of(architecture: str) -> Recipe:
    known = {recipe.architecture: recipe for recipe in reversed(list(recipes().values()))}
    if architecture not in known:
        raise UnsupportedError(
            f"PEFT adapters of architecture {architecture} cannot be converted; "
            f"known: {', '.join(sorted(known))}"
        )
    return known[architecture]


def _places(recipe: Recipe, layers: int) -> list[Place]:
    """Every module whose weight becomes one weight of its own; those of experts do not."""
    found = []
    for name, given in recipe.tensors.items():
        rules: Any = (Rule(given),) if isinstance(given, str) else given
        rules = rules if isinstance(rules, tuple) else (rules,)
        rule = rules[0]
        split = len(rules) > 1 or getattr(rule, "half", None) or getattr(rule, "stacked", False)
        if split or "{expert}" in name or not name.endswith(_WEIGHT):
            continue
        if "norm" in rule.target or rule.target.startswith("token_embd"):
            continue
        for layer in range(layers) if "{layer}" in name else (0,):
            found.append(
                Place(
                    name.replace("{layer}", str(layer)).removesuffix(_WEIGHT),
                    rule.target.replace("{layer}", str(layer)).removesuffix(_WEIGHT),
                    rule.transposed,
                    rule.change,
                )
            )
    return found


def _hf_config(config: ModelConfig) -> HFConfig:
    """The sizes that changes ask for, under each name that a config.json has for them."""
    return HFConfig(
        {
            "num_attention_heads": config.heads,
            "n_head": config.heads,
            "num_key_value_heads": config.kv_heads,
            "head_dim": config.head_width,
            "hidden_size": config.width,
            "n_embd": config.width,
        }
    )
