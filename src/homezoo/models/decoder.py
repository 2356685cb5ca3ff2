"""What all decoders share around their layers: embedding, last norm, output matrix.

The forward pass is cut where training and editing need it: `stem`, `through` some layers, `finish`,
`logits` of chosen rows. `forward` is all of it.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.linear import Linear
from homezoo.models.rope import FACTORS_TENSOR, LONG_FACTORS_TENSOR, SHORT_FACTORS_TENSOR
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, Ops


class Layer(Protocol):
    """One layer of a model."""

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""

    def linears(self) -> dict[str, Linear]:
        """The weights that deltas can be attached to, by their GGUF names within the layer."""


class Part(Protocol):
    """A norm, an attention or a feed-forward network."""

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""


def linears_of(*owners: object) -> dict[str, Linear]:
    """The Linear attributes of a layer's parts, by their names, which are those of GGUF."""
    return {
        name: part
        for owner in owners
        for name, part in vars(owner).items()
        if isinstance(part, Linear)
    }


class Decoder:
    """A whole model. The `ops` of a call carry batch and cache; arrays are the backend's own."""

    def __init__(
        self,
        config: ModelConfig,
        tensors: Mapping[str, Tensor],
        layer: Callable[[ModelConfig, Weights, int], Layer],
        norm: Callable[[ModelConfig, Weights, str], Part],
    ) -> None:
        """Takes the tensors; GGUFError names a missing, extra or wrongly shaped one."""
        weights = Weights(tensors)
        self.config = config
        self.token_embd = weights.matrix("token_embd.weight", config.vocab_size, config.width)
        self.take(weights)
        self.blocks = [layer(config, weights, number) for number in range(config.layers)]
        self.output_norm = norm(config, weights, "output_norm")
        self.output = (
            Linear(self.token_embd)
            if config.tied
            else weights.linear("output", config.vocab_size, config.width)
        )
        for name in (FACTORS_TENSOR, SHORT_FACTORS_TENSOR, LONG_FACTORS_TENSOR):
            weights.ignore(name)
        weights.check_all_taken(config.architecture)

    def take(self, weights: Weights) -> None:
        """Takes what the architecture has beside its layers."""

    def stem(self, ops: Ops) -> Array:
        """What enters the first layer: [T, D]."""
        return ops.embed(self.token_embd)

    def through(self, ops: Ops, x: Array, start: int = 0, stop: int | None = None) -> Array:
        """States [T, D] through layers start to stop - 1, by default all of them: [T, D]."""
        for block in self.blocks[start:stop]:
            x = block(ops, x)
        return x

    def finish(self, ops: Ops, x: Array) -> Array:
        """The last layer's states, normed: [T, D]."""
        return self.output_norm(ops, x)

    def hidden(self, ops: Ops) -> Array:
        """The last layer's states of the batch's tokens, normed: [T, D]."""
        return self.finish(ops, self.through(ops, self.stem(ops)))

    def logits(self, ops: Ops, states: Array) -> Array:
        """Any of those states [R, D] to logits [R, V]."""
        y = self.output(ops, states)
        return y if self.config.output_cap is None else ops.soft_cap(y, self.config.output_cap)

    def forward(self, ops: Ops) -> Array:
        """Logits of the rows that the batch asks for: [R, V]."""
        return self.logits(ops, ops.select(self.hidden(ops)))

    def linears(self) -> dict[str, Linear]:
        """Every weight that deltas can be attached to, by GGUF name without `.weight`."""
        named = {
            f"blk.{number}.{name}": linear
            for number, block in enumerate(self.blocks)
            for name, linear in block.linears().items()
        }
        return named | {"output": self.output}
