"""Forward passes that are watched and changed: what editing does with a frozen model.

A first pass reads whole sequences and notes inputs of weights, states, keys and values. A tail pass
computes only the last tokens of each sequence again, from some layer on, with residuals added where
an edit would write; what stands before them comes from the first pass.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from homezoo.formats.tensor import Tensor
from homezoo.models.batch import Batch, pack_documents
from homezoo.models.decoder import Decoder
from homezoo.ops.autograd import AutogradOps
from homezoo.ops.autograd_matmul import FrozenProducts
from homezoo.ops.protocol import CAUSAL, AttentionForm, BatchArrays


class WatchingOps(AutogradOps):
    """The autograd operations; notes inputs of the weights in `watched`, and keys and values."""

    def __init__(self, batch: Batch, head_width: int, products: FrozenProducts) -> None:
        super().__init__(batch, head_width=head_width, products=products)
        self.watched: frozenset[str] = frozenset()
        self.inputs: dict[str, Any] = {}  # weight to its input [T, K]
        self.added: dict[str, tuple[Any, Any]] = {}  # weight to rows [n] and what they get [n, D]
        self.changed: Mapping[str, tuple[Any, Any]] = {}  # weight to a delta's a [r, K], b [D, r]
        self.keeps = False
        self.kept: dict[int, tuple[Any, Any]] = {}  # layer to keys and values [T, G·E]

    def matmul(self, x: Any, weight: Tensor) -> Any:
        if weight.name in self.watched:
            self.inputs[weight.name] = x
        y = super().matmul(x, weight)
        if weight.name in self.changed:
            a, b = self.changed[weight.name]
            y = y + (x @ a.T) @ b.T
        if weight.name in self.added:
            rows, values = self.added[weight.name]
            y = y.index_add(0, rows, values.to(y.dtype))
        return y

    def attention(
        self,
        q: Any,
        k: Any,
        v: Any,
        layer: int,
        scale: float,
        window: int | None = None,
        form: AttentionForm = CAUSAL,
    ) -> Any:
        if self.keeps:
            self.kept[layer] = (k, v)
        return super().attention(q, k, v, layer, scale, window, form)


@dataclass(frozen=True, eq=False)
class FirstPass:
    """What a pass over whole sequences left. T tokens in all; row = token of the batch."""

    batch: Batch
    starts: np.ndarray  # int64 [S], row of each sequence's first token
    states: dict[int, Any]  # layer to what enters it [T, D]
    inputs: dict[str, Any]  # weight to its input [T, K]
    kept: dict[int, tuple[Any, Any]]
    last: Any = field(default=None)  # states after the last computed layer [T, D]

    def row(self, sequence: int, position: int) -> int:
        """The row of a position of a sequence."""
        return int(self.starts[sequence]) + position


def first_pass(
    model: Decoder,
    sequences: Items[Items[int]],
    products: FrozenProducts,
    *,
    watched: Items[str] = (),
    states: Items[int] = (),
    stop: int | None = None,
    keeps: bool = False,
    changed: Mapping[str, tuple[Any, Any]] | None = None,
) -> FirstPass:
    """Reads whole sequences through the layers below `stop`, without gradients.

    `changed` are deltas in place: weight to tensors a [r, K] and b [D, r].
    """
    import torch

    batch = pack_documents(sequences)
    ops = WatchingOps(batch, model.config.head_width, products)
    ops.watched, ops.keeps, ops.changed = frozenset(watched), keeps, changed or {}
    end = model.config.layers if stop is None else stop
    noted = {}
    with torch.no_grad():
        x = model.stem(ops)
        for layer in range(end):
            if layer in states:
                noted[layer] = x
            x = model.through(ops, x, layer, layer + 1)
    if end in states:
        noted[end] = x
    counts = np.array([len(s) for s in sequences], np.int64)
    return FirstPass(batch, np.cumsum(counts) - counts, noted, ops.inputs, ops.kept, x)


class TailOps(WatchingOps):
    """The operations for the last tokens of sequences whose beginnings a first pass has read."""

    def __init__(
        self, first: FirstPass, starts: Items[int], head_width: int, products: FrozenProducts,
        chosen: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """`starts`: for each sequence the first position to compute again.

        `chosen` are the sequences to compute, ascending; by default all.
        """
        whole = first.batch
        some = np.arange(len(starts)) if chosen is None else chosen
        counts = np.bincount(whole.sequences, minlength=len(starts))[some]
        begins, from_there = first.starts[some], np.asarray(starts)[some]
        rows = np.concatenate([np.arange(b, e) for b, e in zip(
            begins + from_there, begins + counts, strict=True)])  # fmt: skip
        batch = Batch(
            whole.tokens[rows], whole.positions[rows], whole.sequences[rows], whole.blocks,
            np.arange(len(rows), dtype=np.int32),
        )  # fmt: skip
        super().__init__(batch, head_width, products)
        self.rows = rows  # int64 [T'], each tail token's row in the first pass
        self._kept_before = first.kept
        self._index(len(whole.tokens), begins, counts, from_there)

    def _arrange(self, batch: BatchArrays) -> None:
        """Tails are no whole sequences; `attention` finds its own way."""

    def place(self, row: int) -> int:
        """The tail token that is a row of the first pass."""
        return int(np.searchsorted(self.rows, row))

    def _index(
        self, total: int, begins: np.ndarray, counts: np.ndarray, starts: np.ndarray
    ) -> None:
        """Where keys and queries of each sequence stand, padded: [S, L] and [S, M]."""
        import torch

        tails = counts - starts
        before = np.cumsum(tails) - tails  # of each sequence's first tail token
        places = np.arange(counts.max())[None, :]  # [1, L]
        keys = np.where(
            places < starts[:, None],
            begins[:, None] + places,
            total + before[:, None] + places - starts[:, None],
        )
        real = places < counts[:, None]
        steps = np.arange(tails.max())[None, :]  # [1, M]
        there = steps < tails[:, None]
        self._keys = torch.from_numpy(np.where(real, keys, 0))
        self._queries = torch.from_numpy(np.where(there, before[:, None] + steps, 0))
        self._there = torch.from_numpy(there)
        asked = starts[:, None] + steps  # positions of the queries
        self._distance = torch.from_numpy(places[:, None, :] - asked[:, :, None])  # [S, M, L]
        self._real = torch.from_numpy(real)

    def attention(
        self,
        q: Any,
        k: Any,
        v: Any,
        layer: int,
        scale: float,
        window: int | None = None,
        form: AttentionForm = CAUSAL,
    ) -> Any:
        """Queries of the tails over keys and values of the whole sequences."""
        import torch

        before_k, before_v = self._kept_before[layer]
        width = self.head_width
        keys = torch.cat([before_k, k])[self._keys].unflatten(2, (-1, width))  # [S, L, G, E]
        values = torch.cat([before_v, v])[self._keys].unflatten(2, (-1, width))
        queries = q[self._queries].unflatten(2, (-1, width)).transpose(1, 2)  # [S, H, M, E]
        shared = queries.shape[1] // keys.shape[2]
        keys, values = (
            x.transpose(1, 2).repeat_interleave(shared, 1) for x in (keys, values)
        )  # [S, H, L, E]
        scores = scale * (queries @ keys.transpose(2, 3))  # [S, H, M, L]
        if form.cap is not None:
            scores = form.cap * torch.tanh(scores / form.cap)
        distance = self._distance[:, None]
        if form.slopes is not None:
            slopes = torch.from_numpy(np.asarray(form.slopes)).to(scores)
            scores = scores + slopes[None, :, None, None] * distance
        hidden = (distance > 0) | ~self._real[:, None, None, :]
        if window is not None:
            hidden = hidden | (distance <= -window)
        scores = scores.masked_fill(hidden, -torch.inf)
        if form.sinks is not None:
            sinks = torch.from_numpy(np.asarray(form.sinks)).to(scores)[None, :, None, None]
            scores = torch.cat([scores, sinks.expand(*scores.shape[:1], -1, scores.shape[2], 1)], 3)
        weights = torch.softmax(scores, 3)[..., : values.shape[2]]
        mixed = (weights @ values).transpose(1, 2).flatten(2)  # [S, M, H·E]
        return mixed[self._there]  # [T', H·E], in the tails' order
