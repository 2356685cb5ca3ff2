"""Products of float tensors under autograd by native kernels: trained weights, and thin deltas.

On CPUs where PyTorch's own products are slow (AMD's) these take half the time.
"""

from functools import cache
from typing import Any

from homezoo import _native


def trained_product(x: Any, weight: Any, threads: _native.Threads) -> Any:
    """x [T, K] times the transpose of `weight` [N, K], float32, with gradients for both: [T, N]."""
    return _trained_product().apply(x, weight, threads)


def low_rank(x: Any, y: Any, a: Any, b: Any, scale: float, threads: _native.Threads) -> Any:
    """y + scale (x aᵀ) bᵀ, float32, with gradients for x, y, a [r, K] and b [N, r].

    y is changed in place: it must be a product's result that nobody else holds.
    """
    return _low_rank().apply(x, y, a, b, scale, threads)


def multiply(
    a: Any, b: Any, threads: _native.Threads, a_turned: bool = False, b_turned: bool = False
) -> Any:
    """a b of float32 tensors, either of them given as its transpose; no gradient."""
    import torch

    found = _native.multiply(as_array(a), as_array(b), threads, a_turned, b_turned)
    return torch.from_numpy(found)


def as_array(x: Any) -> Any:
    """A tensor as the array that kernels take, without a copy where it lies as one already."""
    return x.detach().contiguous().numpy()


@cache
def _trained_product() -> Any:
    import torch
    from torch.autograd.function import once_differentiable

    class TrainedProduct(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, weight: Any, threads: Any) -> Any:
            ctx.save_for_backward(x, weight)
            ctx.threads = threads
            return multiply(x, weight, threads, b_turned=True)

        @staticmethod
        @once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, dy: Any) -> Any:
            x, weight = ctx.saved_tensors
            wants_x, wants_weight, _ = ctx.needs_input_grad
            dx = multiply(dy, weight, ctx.threads) if wants_x else None
            dw = multiply(dy, x, ctx.threads, a_turned=True) if wants_weight else None
            return dx, dw, None

    return TrainedProduct


@cache
def _low_rank() -> Any:
    import torch
    from torch.autograd.function import once_differentiable

    class LowRank(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any, a: Any, b: Any, scale: float, threads: Any) -> Any:
            inner = multiply(x, a, threads, b_turned=True).mul_(scale)  # [T, r]
            if not y.is_contiguous():
                raise ValueError("low_rank: y must be contiguous, as products are")
            _native.multiply(as_array(inner), as_array(b), threads, False, True, y.detach().numpy())
            ctx.mark_dirty(y)
            ctx.save_for_backward(x, inner, a, b)
            ctx.scale, ctx.threads = scale, threads
            return y

        @staticmethod
        @once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, dy: Any) -> Any:
            x, inner, a, b = ctx.saved_tensors
            wants_x, _, wants_a, wants_b, _, _ = ctx.needs_input_grad
            d_inner = multiply(dy, b, ctx.threads).mul_(ctx.scale)  # [T, r]
            dx = multiply(d_inner, a, ctx.threads) if wants_x else None
            da = multiply(d_inner, x, ctx.threads, a_turned=True) if wants_a else None
            # as r rows of N values: the other way round columns are few and registers half empty
            db = multiply(inner, dy, ctx.threads, a_turned=True).t() if wants_b else None
            return dx, dy, da, db, None, None

    return LowRank
