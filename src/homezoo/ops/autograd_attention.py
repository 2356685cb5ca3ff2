"""Attention inside the sequences of a batch, in PyTorch; no cache, so sequences are whole."""

from typing import Any

import numpy as np

from homezoo.errors import OptionError
from homezoo.ops.protocol import AttentionForm, BatchArrays

Segment = slice | np.ndarray  # where a sequence's tokens stand in the batch


def segments(batch: BatchArrays) -> list[Segment]:
    """The tokens of each sequence; OptionError unless its positions are 0, 1, 2 and so on.

    There is no cache, so that a sequence must be whole.
    """
    found: list[Segment] = []
    for sequence in np.unique(batch.sequences):
        where = np.flatnonzero(batch.sequences == sequence)
        positions = batch.positions[where]
        if (positions != np.arange(len(where))).any():
            raise OptionError(
                f"sequence {sequence} of the batch has positions from {positions[0]} to "
                f"{positions[-1]} in {len(where)} tokens; with gradients a sequence must be whole, "
                "from position 0 on"
            )
        together = where[-1] - where[0] + 1 == len(where)
        found.append(slice(int(where[0]), int(where[-1]) + 1) if together else where)
    return found


def attend(q: Any, k: Any, v: Any, scale: float, window: int | None, form: AttentionForm) -> Any:
    """One whole sequence: q [n, H, E], k and v [n, G, E] to [n, H, E]."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    shared = q.shape[1] // k.shape[1]
    if shared > 1:
        k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
    q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))  # [1, H, n, E]
    slides = window is not None and window < q.shape[2]
    if form.cap is None and form.sinks is None and form.slopes is None and not slides:
        y = scaled_dot_product_attention(q, k, v, is_causal=form.causal, scale=scale)
        return y[0].transpose(0, 1)
    bias = _bias(q, window, form)  # [1, H or 1, n, n]
    if form.cap is None and form.sinks is None:
        y = scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
        return y[0].transpose(0, 1)
    scores = scale * (q @ k.transpose(2, 3))
    if form.cap is not None:
        scores = form.cap * torch.tanh(scores / form.cap)
    scores = scores + bias
    if form.sinks is not None:
        sinks = torch.from_numpy(np.asarray(form.sinks)).to(q)[None, :, None, None]
        scores = torch.cat([scores, sinks.expand(-1, -1, scores.shape[2], -1)], 3)
    weights = torch.softmax(scores, 3)[..., : k.shape[2]]
    return (weights @ v)[0].transpose(0, 1)


def _bias(q: Any, window: int | None, form: AttentionForm) -> Any:
    """What is added to the scores of a sequence of n tokens: [1, H or 1, n, n]; -inf is unseen."""
    import torch

    n = q.shape[2]
    places = torch.arange(n)
    distance = places[None, :] - places[:, None]  # key less query
    bias = torch.zeros(n, n, dtype=q.dtype)
    if form.causal:
        bias = bias.masked_fill(distance > 0, -torch.inf)
    if window is not None:
        bias = bias.masked_fill(distance <= -window, -torch.inf)
    if form.slopes is None:
        return bias[None, None]
    slopes = torch.from_numpy(np.asarray(form.slopes)).to(q)
    last = distance if form.causal else places[None, :] - (n - 1)
    return (bias + slopes[:, None, None] * last.to(q.dtype))[None]
