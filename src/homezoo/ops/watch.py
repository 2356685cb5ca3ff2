"""Any backend's operations, keeping what enters the products with chosen weights."""

from collections.abc import Collection
from typing import Any, cast

from homezoo.formats.tensor import Tensor
from homezoo.ops.protocol import Array, Ops


class WatchedOps:
    """Stands before the operations of a backend and passes everything on.

    After a forward pass `inputs` maps each watched weight's name, such as blk.3.ffn_down.weight,
    to the array [T, K] that was multiplied by it: of the backend's own kind, with its gradients.
    """

    def __init__(self, ops: Ops, names: Collection[str]) -> None:
        self._ops = ops
        self._names = frozenset(names)
        self.inputs: dict[str, Array] = {}

    def matmul(self, x: Array, weight: Tensor) -> Array:
        """The backend's product; x is kept when the weight is watched."""
        if weight.name in self._names:
            self.inputs[weight.name] = x
        return self._ops.matmul(x, weight)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ops, name)

    @property
    def ops(self) -> Ops:
        """Itself, as what models take."""
        return cast(Ops, self)
