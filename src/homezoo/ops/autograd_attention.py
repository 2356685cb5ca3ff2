"""Attention inside the sequences of a batch under autograd; no cache, so sequences are whole.

Usual forms go through a native kernel that keeps no scores; capped scores, sinks, encoders and
float64 are PyTorch's own operations.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from homezoo import _native
from homezoo.errors import OptionError
from homezoo.ops.autograd_products import as_array
from homezoo.ops.protocol import AttentionForm, BatchArrays


@dataclass(frozen=True, eq=False)
class WholeSequences:
    """Where the sequences of a batch of T tokens stand once they are put one after another."""

    starts: np.ndarray  # int32 [S + 1]
    order: np.ndarray | None  # int [T], the batch's tokens in that order; None when it is theirs

    @staticmethod
    def of(batch: BatchArrays) -> "WholeSequences":
        """OptionError unless the positions of each sequence are 0, 1, 2 and so on."""
        order = np.argsort(batch.sequences, kind="stable")
        numbers, counts = np.unique(batch.sequences, return_counts=True)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        for number, start, stop in zip(numbers, starts, starts[1:], strict=False):
            found = batch.positions[order[start:stop]]
            if (found != np.arange(stop - start)).any():
                raise OptionError(
                    f"sequence {number} of the batch has positions from {found[0]} to {found[-1]} "
                    f"in {stop - start} tokens; with gradients a sequence must be whole, from "
                    "position 0 on"
                )
        is_order = (order == np.arange(len(order))).all()
        return WholeSequences(starts, None if is_order else order)


def attend(
    q: Any,
    k: Any,
    v: Any,
    sequences: WholeSequences,
    head_width: int,
    scale: float,
    window: int | None,
    form: AttentionForm,
    threads: _native.Threads,
) -> Any:
    """q [T, H·E], k and v [T, G·E] in the batch's order to [T, H·E]."""
    import torch

    if sequences.order is not None:
        q, k, v = q[sequences.order], k[sequences.order], v[sequences.order]
    usual = form.causal and form.cap is None and form.sinks is None
    if usual and q.dtype == torch.float32:
        slopes = None if form.slopes is None else np.ascontiguousarray(form.slopes, np.float32)
        fixed = (sequences.starts, head_width, scale, window or 0, threads, slopes)
        y = _native_attention().apply(q, k, v, fixed)
    else:
        q, k, v = (x.reshape(len(x), -1, head_width) for x in (q, k, v))
        parts = [
            _attend_one(q[start:stop], k[start:stop], v[start:stop], scale, window, form)
            for start, stop in pairwise(sequences.starts)
        ]
        y = torch.cat(parts).reshape(len(q), -1)
    return y if sequences.order is None else y[np.argsort(sequences.order)]


@cache
def _native_attention() -> Any:
    """The autograd function; made when first used, as PyTorch is imported only then."""
    import torch
    from torch.autograd.function import once_differentiable

    class NativeAttention(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, q: Any, k: Any, v: Any, fixed: Any) -> Any:
            found = _native.attention(as_array(q), as_array(k), as_array(v), *fixed)
            y, statistics = map(torch.from_numpy, found)
            ctx.save_for_backward(q, k, v, y, statistics)
            ctx.fixed = fixed
            return y

        @staticmethod
        @once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, dy: Any) -> Any:
            q, k, v, y, statistics = map(as_array, ctx.saved_tensors)
            dq, *rest = _native.attention_gradient(as_array(dy), q, k, v, y, statistics, *ctx.fixed)
            width = ctx.fixed[1]
            groups = (len(k), k.shape[1] // width, -1, width)  # [T, G, H / G, E]
            dk, dv = (torch.from_numpy(d).view(groups).sum(2).view(k.shape) for d in rest)
            return torch.from_numpy(dq), dk, dv, None

    return NativeAttention


def _attend_one(
    q: Any, k: Any, v: Any, scale: float, window: int | None, form: AttentionForm
) -> Any:
    """One whole sequence: q [n, H, E], k and v [n, G, E] to [n, H, E]."""
    import torch

    shared = q.shape[1] // k.shape[1]
    q, k, v = (x.transpose(0, 1) for x in (q, k, v))  # [heads, n, E]
    k, v = k.repeat_interleave(shared, 0), v.repeat_interleave(shared, 0)
    scores = scale * (q @ k.transpose(1, 2))  # [H, n, n]
    if form.cap is not None:
        scores = form.cap * torch.tanh(scores / form.cap)
    scores = scores + _bias(q, window, form)
    if form.sinks is not None:
        sinks = torch.from_numpy(np.asarray(form.sinks)).to(q)[:, None, None]
        scores = torch.cat([scores, sinks.expand(-1, scores.shape[1], -1)], 2)
    weights = torch.softmax(scores, 2)[..., : k.shape[1]]
    return (weights @ v).transpose(0, 1)


def _bias(q: Any, window: int | None, form: AttentionForm) -> Any:
    """What is added to the scores of n tokens: [1 or H, n, n]; -inf is unseen."""
    import torch

    n = q.shape[1]
    places = torch.arange(n)
    distance = places[None, :] - places[:, None]  # key less query
    bias = torch.zeros(n, n, dtype=q.dtype)
    if form.causal:
        bias = bias.masked_fill(distance > 0, -torch.inf)
    if window is not None:
        bias = bias.masked_fill(distance <= -window, -torch.inf)
    if form.slopes is None:
        return bias[None]
    slopes = torch.from_numpy(np.asarray(form.slopes)).to(q)
    last = distance if form.causal else places[None, :] - (n - 1)
    return bias + slopes[:, None, None] * last.to(q.dtype)
