"""The two norms as parts of a model: called on states, they hold their weights."""

from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.weights import Weights
from homezoo.ops.protocol import Array, Ops


class RmsNorm:
    """Over whole rows, or over each head when its size is that of a head (`group`)."""

    def __init__(
        self, config: ModelConfig, weights: Weights, name: str, group: int | None = None
    ) -> None:
        self.weight = weights.vector(f"{name}.weight", group or config.width)
        self.group = group
        self.eps = config.norm_eps

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        return ops.rms_norm(x, self.weight, self.eps, self.group)


class LayerNorm:
    """Over whole rows, with a bias where the file has it."""

    def __init__(self, config: ModelConfig, weights: Weights, name: str) -> None:
        self.weight = weights.vector(f"{name}.weight", config.width)
        self.bias: Tensor | None = weights.optional_vector(f"{name}.bias", config.width)
        self.eps = config.norm_eps

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, D] to [T, D]."""
        return ops.layer_norm(x, self.weight, self.bias, self.eps)
