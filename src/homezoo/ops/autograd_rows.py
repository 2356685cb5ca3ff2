"""Norm, gated unit and rotation under autograd by native kernels, keeping their inputs only.

Float32 tensors; classes are made when first used, as PyTorch is imported only then.
"""

from functools import cache
from typing import Any

import numpy as np

from homezoo import _native
from homezoo.ops.autograd_products import as_array


def rms_norm(x: Any, weight: np.ndarray, eps: float, threads: _native.Threads) -> Any:
    """Rows x [R, width] normed; the weight, float32 [width], is frozen."""
    return _rms_norm().apply(x, weight, eps, threads)


def silu_mul(gate: Any, up: Any, threads: _native.Threads) -> Any:
    """silu(gate) · up, both [T, F]."""
    return _silu_mul().apply(gate, up, threads)


def rotate(
    x: Any,
    cosine: np.ndarray,
    sine: np.ndarray,
    head_width: int,
    halves: bool,
    threads: _native.Threads,
) -> Any:
    """Pairs of each head of x [T, width] turned by angles with cosine and sine [T, pairs]."""
    return _rotate().apply(x, cosine, sine, head_width, halves, threads)


@cache
def _rms_norm() -> Any:
    import torch
    from torch.autograd.function import once_differentiable

    class RmsNorm(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, weight: Any, eps: float, threads: Any) -> Any:
            ctx.save_for_backward(x)
            ctx.weight, ctx.eps, ctx.threads = weight, eps, threads
            return torch.from_numpy(_native.rms_norm(as_array(x), weight, eps, threads))

        @staticmethod
        @once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, dy: Any) -> Any:
            (x,) = map(as_array, ctx.saved_tensors)
            dx = _native.rms_norm(x, ctx.weight, ctx.eps, ctx.threads, as_array(dy))
            return torch.from_numpy(dx), None, None, None

    return RmsNorm


@cache
def _silu_mul() -> Any:
    import torch
    from torch.autograd.function import once_differentiable

    class SiluMul(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, gate: Any, up: Any, threads: Any) -> Any:
            ctx.save_for_backward(gate, up)
            ctx.threads = threads
            return torch.from_numpy(_native.silu_mul(as_array(gate), as_array(up), threads))

        @staticmethod
        @once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, dy: Any) -> Any:
            gate, up = map(as_array, ctx.saved_tensors)
            found = _native.silu_mul_gradient(as_array(dy), gate, up, ctx.threads)
            return (*map(torch.from_numpy, found), None)

    return SiluMul


@cache
def _rotate() -> Any:
    import torch
    from torch.autograd.function import once_differentiable

    class Rotate(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(
            ctx: Any, x: Any, cosine: Any, sine: Any, width: int, halves: bool, threads: Any
        ) -> Any:
            ctx.cosine, ctx.sine, ctx.form = cosine, sine, (width, halves)
            ctx.threads = threads
            turned = _native.rotate(as_array(x), cosine, sine, width, halves, False, threads)
            return torch.from_numpy(turned)

        @staticmethod
        @once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, dy: Any) -> Any:
            width, halves = ctx.form
            back = _native.rotate(
                as_array(dy), ctx.cosine, ctx.sine, width, halves, True, ctx.threads
            )
            return torch.from_numpy(back), None, None, None, None, None

    return Rotate
