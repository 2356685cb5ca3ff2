"""The losses of residuals: what is read of some facts once, and run again from the edited layer on.

Weights are frozen; gradients go through the activations of the later layers only.
"""

from collections.abc import Sequence as Items
from typing import Any

import numpy as np

from homezoo.edit.passes import TailOps, first_pass
from homezoo.edit.reader import Reader
from homezoo.edit.sites import Plan

# Share of the bare prompt in a key, the rest is the mean in contexts: with half, as in MEMIT, one
# fact in fifty was not written as it stands; with more, other wordings suffer (docs/LOG.md).
BARE = 0.55


class Problem:
    """The paths of some facts, read once; gives losses of residuals at one layer."""

    def __init__(self, reader: Reader, plans: Items[Plan], layer: int) -> None:
        self.model, self.layer = reader.model, layer
        self.weight = reader.weight(layer)
        paths = [path for plan in plans for path in plan.paths]
        self.first = first_pass(
            self.model,
            [path.tokens for path in paths],
            reader.products,
            watched=[self.weight],
            states=[layer, layer + 1],
            keeps=True,
        )
        self._products = reader.products
        self._starts = [min(position for position, _ in path.written) for path in paths]
        self._number(plans)
        self.narrow(np.ones(len(plans), bool))

    def narrow(self, facts: np.ndarray) -> None:
        """From now on only these facts [F, bool] are computed; losses of the others are 0."""
        import torch

        chosen = np.flatnonzero(facts[self._sequence_owners])
        self.ops = TailOps(
            self.first, self._starts, self.model.config.head_width, self._products, chosen
        )
        self._entering = self.first.states[self.layer][torch.from_numpy(self.ops.rows)]
        written = facts[self.owners[self.units]]
        self._added = torch.tensor([self.ops.place(row) for row in self.rows[written]])
        self._units = torch.from_numpy(self.units[written])
        wanted = facts[self.question_owners[self._wanted_questions]]
        self._asked = torch.tensor([self.ops.place(row) for row in self._wanted_rows[wanted]])
        self._questions = torch.from_numpy(self._wanted_questions[wanted])
        keep = torch.from_numpy(wanted)
        self._tokens, self._shares, self._entropy = (x[keep] for x in self._targets)

    def _number(self, plans: Items[Plan]) -> None:
        """Units, questions and facts get numbers; rows get theirs."""
        import torch

        added, units, bare, asked, questions, targets = [], [], [], [], [], []
        owners: list[int] = []
        question_owners: list[int] = []
        sequence_owners: list[int] = []
        sequence = 0
        for fact, plan in enumerate(plans):
            unit0, question0 = len(owners), len(question_owners)
            for path in plan.paths:
                for position, unit in path.written:
                    added.append(self.first.row(sequence, position))
                    units.append(unit0 + unit)
                    bare.append(path.context == 0)
                for position, question, target in path.wanted:
                    asked.append(self.first.row(sequence, position))
                    questions.append(question0 + question)
                    targets.append(target)
                sequence_owners.append(fact)
                sequence += 1
            owners += [fact] * len(plan.sites)
            count = 1 + max(q for path in plan.paths for _, q, _ in path.wanted)
            question_owners += [fact] * count
        self.rows, self.units = np.array(added), np.array(units)
        self.bare = np.array(bare)
        self.owners, self.question_owners = np.array(owners), np.array(question_owners)
        self._sequence_owners = np.array(sequence_owners)
        self._wanted_rows, self._wanted_questions = np.array(asked), np.array(questions)
        self._targets = _padded(targets)
        self._rows_of = torch.bincount(
            torch.from_numpy(self._wanted_questions), minlength=len(question_owners)
        )

    def losses(self, residuals: Any) -> Any:
        """KL of what is wanted and what is said, in nats, mean over contexts: [questions].

        `residuals` is a tensor [U, D]; for one wanted token it is the negative log-likelihood.
        """
        import torch

        self.ops.added[self.weight] = (self._added, residuals[self._units])
        x = self.model.through(self.ops, self._entering, self.layer)
        states = self.model.finish(self.ops, x[self._asked])
        said = torch.log_softmax(self.model.logits(self.ops, states).double(), 1)
        chosen = said.gather(1, self._tokens)
        rows = -(self._shares * chosen).sum(1) - self._entropy
        total = torch.zeros(len(self._rows_of), dtype=rows.dtype)
        return total.index_add(0, self._questions, rows) / self._rows_of

    def keys(self) -> np.ndarray:
        """Of each unit, float32 [U, K]: the bare prompt's and, by BARE, the mean in contexts.

        The same key is used everywhere (Gupta et al. 2024a: two keys break models).
        """
        inputs = self.first.inputs[self.weight][self.rows].numpy()
        return self._mean_of(inputs)

    def lengths(self) -> np.ndarray:
        """|h| of the state after the layer at each unit, float64 [U]."""
        states = self.first.states[self.layer + 1][self.rows].numpy().astype(np.float64)
        return self._mean_of(np.linalg.norm(states, axis=1)[:, None])[:, 0].astype(np.float64)

    def _mean_of(self, values: np.ndarray) -> np.ndarray:
        """Rows [n, W] to units [U, W]."""
        return mean_of_contexts(values, self.units, self.bare, len(self.owners))


def mean_of_contexts(
    values: np.ndarray, units: np.ndarray, bare: np.ndarray, count: int
) -> np.ndarray:
    """Rows [n, W] to their units, float32 [count, W]: the bare ones and, by BARE, the others."""
    parts = []
    for kind in (True, False):
        chosen = bare == kind
        total = np.zeros((count, values.shape[1]))
        np.add.at(total, units[chosen], values[chosen].astype(np.float64))
        found = np.bincount(units[chosen], minlength=count)
        parts.append((total / np.maximum(found, 1)[:, None], found > 0))
    (alone, _), (others, some) = parts
    mean = np.where(some[:, None], BARE * alone + (1 - BARE) * others, alone)
    return mean.astype(np.float32)


def _padded(targets: Items[dict[int, float]]) -> tuple[Any, Any, Any]:
    """Token ids and shares of each row, padded with shares of 0: [R, m]; and their entropy [R]."""
    import torch

    most = max(map(len, targets))
    tokens = np.zeros((len(targets), most), np.int64)
    shares = np.zeros((len(targets), most))
    for row, target in enumerate(targets):
        tokens[row, : len(target)] = list(target)
        shares[row, : len(target)] = list(target.values())
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return (torch.from_numpy(tokens), torch.from_numpy(shares),
            torch.from_numpy(-(shares * logs).sum(1)))  # fmt: skip
