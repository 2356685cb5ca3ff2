"""The one seam for learning: a frozen weight, quantised or not, plus any number of deltas."""

from dataclasses import dataclass

import numpy as np

from homezoo.errors import OptionError
from homezoo.formats.tensor import Tensor
from homezoo.ops.protocol import Array, Ops


@dataclass(frozen=True, eq=False)
class Delta:
    """A low-rank change beside one weight: scale · b a (Hu et al. 2021, equation 3)."""

    a: Array  # float32 [r, K]: a NumPy array, or a tensor of PyTorch while it is trained
    b: Array  # float32 [N, r]
    scale: float
    name: str  # who it belongs to, such as the adapter's name; one delta of a name per weight
    adapter: int | None = None  # its column in a batch's strengths; None: it counts for every token

    def __post_init__(self) -> None:
        for letter, array in (("a", self.a), ("b", self.b)):
            if str(array.dtype).removeprefix("torch.") != "float32" or array.ndim != 2:
                raise OptionError(
                    f"delta {self.name!r}: {letter} is {array.dtype} of shape "
                    f"{tuple(array.shape)}; expected float32 with two dimensions"
                )
        if self.a.shape[0] != self.b.shape[1] or self.a.shape[0] < 1:
            raise OptionError(
                f"delta {self.name!r}: a has rank {self.a.shape[0]} and b rank "
                f"{self.b.shape[1]}; expected the same rank, from 1"
            )
        if not np.isfinite(self.scale):
            raise OptionError(
                f"delta {self.name!r}: scale is {self.scale}; expected a finite number"
            )


class Linear:
    """y = x Wᵀ + bias + the deltas in the order they were attached."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None = None, deltas: tuple[Delta, ...] = ()
    ) -> None:
        self.weight = weight  # [N, K]
        self.bias = bias  # [N]
        self.deltas: list[Delta] = []
        for delta in deltas:
            self.attach(delta)

    def __call__(self, ops: Ops, x: Array) -> Array:
        """x [T, K] to [T, N]."""
        y = ops.matmul(x, self.weight)
        if self.bias is not None:
            y = ops.add_bias(y, self.bias)
        for delta in self.deltas:
            y = ops.low_rank(x, y, delta.a, delta.b, delta.scale, delta.adapter)
        return y

    def attach(self, delta: Delta) -> None:
        """Adds a delta; OptionError when its shape does not fit or its name is taken.

        A compiled backend must be compiled anew to see it.
        """
        found = (delta.b.shape[0], delta.a.shape[1])
        wanted = (self.weight.rows, self.weight.width)
        if found != wanted:
            raise OptionError(
                f"delta {delta.name!r} changes a weight of shape {found}; "
                f"{self.weight.name} is {wanted}"
            )
        if any(delta.name == other.name for other in self.deltas):
            raise OptionError(f"{self.weight.name} already has a delta named {delta.name!r}")
        self.deltas.append(delta)

    def detach(self, name: str) -> Delta:
        """Takes a delta away and returns it; what is left computes as before, bit for bit."""
        for index, delta in enumerate(self.deltas):
            if delta.name == name:
                return self.deltas.pop(index)
        names = [delta.name for delta in self.deltas]
        raise OptionError(f"{self.weight.name} has no delta named {name!r}; attached: {names}")
