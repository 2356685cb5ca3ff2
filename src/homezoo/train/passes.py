"""Forward and backward passes of packed documents, layer by layer.

Only what the backward pass needs is kept: of most layers their input, from which they are computed
again (Chen et al. 2016), of the last ones everything. No layer below the first one that learns is
passed back through. The output matrix sees the rows that are learned, and few of them at a time.
"""

from collections.abc import Callable, Mapping
from typing import Any

from homezoo.models.batch import pack_documents
from homezoo.models.decoder import Decoder
from homezoo.ops.autograd import AutogradOps
from homezoo.ops.autograd_matmul import FrozenProducts
from homezoo.train.memory import loss_rows
from homezoo.train.packing import Pack
from homezoo.train.states import StateCache


class Passes:
    """A model, what of it learns, and how its passes are cut to fit the memory."""

    def __init__(
        self,
        model: Decoder,
        products: FrozenProducts,
        parameters: Mapping[str, Any] | None = None,
        first: int = 0,
        kept: int = 1,
        states: StateCache | None = None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """`parameters`: whole tensors that learn, by GGUF name. `first`: the lowest layer that
        learns; with `parameters` it must be 0, since the embedding learns too. `kept`: how many
        layers, from the top, keep their activations. `states` keeps what enters layer `first`.
        `pause` is called between layers and may raise to end the pass.
        """
        self._model = model
        self._products = products
        self._parameters = parameters or {}
        self._first = first
        self._kept = max(kept, 1)
        self._states = states
        self._pause = pause

    def learn(self, pack: Pack, weight: float) -> float:
        """Adds the gradients of `weight` times the summed loss; gives the sum, in nats."""
        import torch

        ops = self._ops(pack)
        x, stem = self._enter(ops, pack)
        blocks = self._model.blocks
        graphs: list[tuple[Any, Any]] = []  # of each layer from `first` on: input, output or None
        for number in range(self._first, len(blocks)):
            self._pause()
            keeps = number >= len(blocks) - self._kept
            x = x.detach().requires_grad_(number > self._first or stem is not None)
            with torch.set_grad_enabled(keeps):
                y = blocks[number](ops, x)
            graphs.append((x, y if keeps else None))
            x = y.detach()
        total, dy = self._loss(ops, pack, x, weight)
        for number in reversed(range(self._first, len(blocks))):
            self._pause()
            entered, left = graphs.pop()
            if left is None:
                left = blocks[number](ops, entered)
            torch.autograd.backward(left, dy)
            dy = entered.grad
        if stem is not None:
            torch.autograd.backward(stem, dy)
        return total

    def loss(self, pack: Pack) -> float:
        """The summed loss without gradients, in nats."""
        import torch

        ops = self._ops(pack)
        with torch.no_grad():
            x, _ = self._enter(ops, pack)
            for block in self._model.blocks[self._first :]:
                self._pause()
                x = block(ops, x)
            return self._loss(ops, pack, x, None)[0]

    def _ops(self, pack: Pack) -> AutogradOps:
        batch = pack_documents([d.tokens.tolist() for d in pack.documents], pack.rows.tolist())
        width = self._model.config.head_width
        return AutogradOps(batch, self._parameters, head_width=width, products=self._products)

    def _enter(self, ops: AutogradOps, pack: Pack) -> tuple[Any, Any]:
        """What enters layer `first` [T, D], and the same with its graph where the stem learns."""
        import torch

        if self._parameters:
            stem = self._model.stem(ops)
            return stem.detach(), stem if stem.requires_grad else None
        kept = None if self._states is None else self._states.read(pack)
        if kept is not None:
            return torch.from_numpy(kept), None
        with torch.no_grad():
            x = self._model.stem(ops)
            for block in self._model.blocks[: self._first]:
                self._pause()
                x = block(ops, x)
        if self._states is not None:
            self._states.write(pack, x.numpy())
        return x, None

    def _loss(
        self, ops: AutogradOps, pack: Pack, x: Any, weight: float | None
    ) -> tuple[float, Any]:
        """Cross entropy of the learned rows, summed, and its gradient [T, D] times `weight`.

        Rows that are not learned get exactly zero. With no weight there is no gradient.
        """
        import torch

        rows = torch.from_numpy(pack.rows).long()
        targets = torch.from_numpy(pack.targets)
        learned = x[rows].requires_grad_(weight is not None)
        total = 0.0
        step = loss_rows(self._model.config.vocab_size)
        for start in range(0, len(rows), step):
            chosen = slice(start, start + step)
            states = self._model.finish(ops, learned[chosen])
            logits = self._model.logits(ops, states)
            loss = torch.nn.functional.cross_entropy(logits, targets[chosen], reduction="sum")
            total += float(loss.detach())
            if weight is not None:
                (loss * weight).backward()
        if weight is None:
            return total, None
        dx = torch.zeros_like(x)
        dx[rows] = learned.grad
        return total, dx
