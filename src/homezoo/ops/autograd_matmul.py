"""Products with frozen weights under PyTorch's autograd, by the native kernels both ways."""

import os
from functools import cache
from typing import Any, Literal

from homezoo import _native
from homezoo.errors import OptionError
from homezoo.formats.blocks import dequantize
from homezoo.formats.tensor import Tensor
from homezoo.ops.cores import available_cores
from homezoo.ops.reference_matmul import FLOAT_TYPES

Forward = Literal["int8", "float"]
Backward = Literal["exact", "int8"]

# PyTorch's threads are to sleep between its operations: by default they spin, on the cores that the
# kernels' threads want (two layers of 7B: 1.44 s instead of 1.21, docs/training.md).
# Its OpenMP reads this once, when PyTorch is imported; this package does so after this line.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


class FrozenProducts:
    """How frozen weights multiply, forward and backward; one may serve any number of batches.

    Float64 inputs are for checks of gradients: weights are dequantised and PyTorch multiplies.
    """

    def __init__(
        self,
        threads: int | _native.Threads | None = None,
        forward: Forward = "int8",
        backward: Backward = "int8",
    ) -> None:
        """`forward`: activations rounded to int8 as the engine does, or not ("float").

        `backward`: gradients and weights rounded to int8 (quantised weights only), which moves a
        model's gradient no more than `forward` does and takes half the time, or float32 sums
        ("exact"). `threads`: a pool or its size, by default one for each core. Raises OptionError.
        """
        if forward not in ("int8", "float"):
            raise OptionError(f"forward is {forward!r}; expected 'int8' or 'float'")
        if backward not in ("exact", "int8"):
            raise OptionError(f"backward is {backward!r}; expected 'exact' or 'int8'")
        if threads is None or isinstance(threads, int):
            threads = _native.Threads(available_cores() if threads is None else threads)
        self.threads = threads
        self.forward = forward
        self.backward = backward

    def __call__(self, x: Any, weight: Tensor) -> Any:
        """x [T, K] times the transpose of `weight` [N, K]: [T, N]; only x gets a gradient."""
        return _functions().apply(x, weight, self)

    def product(self, x: Any, weight: Tensor) -> Any:
        """The same without a gradient."""
        import torch

        if x.dtype == torch.float64:
            return x @ _doubles(weight).T
        exact = self.forward == "float"
        form = (weight.data, int(weight.type), weight.width, self.threads, exact)
        return torch.from_numpy(_native.matmul(x.contiguous().numpy(), *form))

    def input_gradient(self, dy: Any, weight: Tensor) -> Any:
        """dy [T, N] times `weight` [N, K]: [T, K]."""
        import torch

        if dy.dtype == torch.float64:
            return dy @ _doubles(weight)
        int8 = self.backward == "int8" and weight.type not in FLOAT_TYPES
        form = (weight.data, int(weight.type), weight.width, self.threads, int8)
        return torch.from_numpy(_native.input_gradient(dy.contiguous().numpy(), *form))


def _doubles(weight: Tensor) -> Any:
    import torch

    return torch.from_numpy(dequantize(weight.type, weight.data)).double()


@cache
def _functions() -> Any:
    """The autograd function; made when first used, as PyTorch is imported only then."""
    import torch
    from torch.autograd.function import once_differentiable

    class FrozenProduct(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, weight: Tensor, products: FrozenProducts) -> Any:
            ctx.weight, ctx.products = weight, products
            return products.product(x.detach(), weight)

        @staticmethod
        @once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, dy: Any) -> Any:
            return ctx.products.input_gradient(dy.detach(), ctx.weight), None, None

    return FrozenProduct
