"""Fewer ranks for the exported file, as far as every active fact keeps its value.

Of all changes of rank r the one nearest to Delta, each direction of keys weighted as the solver
weights it (M = λC + protected keys + K Kᵀ), is the projection of Delta on the strongest left
singular vectors of Delta M^½ (Eckart and Young 1936). M^½ itself is never needed: Delta M Deltaᵀ is
small, [D, D].
"""

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass, replace

import numpy as np

from homezoo.edit.build import deltas_of, layer_problem
from homezoo.edit.fact_record import Unit
from homezoo.edit.facts import Fact
from homezoo.edit.grade import grade, make_cases
from homezoo.edit.intervals import Rate
from homezoo.edit.profile import Measured
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.solve import Update

MOST_ERROR = 0.1  # of a unit's residual: |Delta_r k - Delta k| / |r|
MOST_LOST = 0.01  # of the edited facts' exact answers
TRIES = 4  # each with half the error of the one before


@dataclass(frozen=True, eq=False)
class Compacted:
    """Updates of lower rank, and what that changed."""

    updates: dict[int, Update]
    before: int  # the highest rank of a layer
    after: int
    error: float  # largest |Delta_r k - Delta k| / |r| of a unit
    answered: tuple[Rate, Rate] | None = None  # edited facts, before and after

    def __str__(self) -> str:
        if self.after == self.before:
            return f"compacted: nothing gained, the rank stays {self.before}"
        asked = ""
        if self.answered is not None:
            asked = "; edited facts answered: {0.hits} of {0.total} before, {1.hits} after".format(
                *self.answered
            )
        return (f"compacted: rank {self.before} to {self.after}, no value off by more than "
                f"{self.error:.1%} of its length{asked}")  # fmt: skip


def compact_answers(
    reader: Reader,
    updates: Mapping[int, Update],
    units: Items[Unit],
    measured: Measured,
    relations: Relations,
    facts: Items[Fact],
) -> Compacted:
    """As `compact`, but asked: no more than MOST_LOST of the edited facts' answers may be lost.

    Each try allows half the error of the one before; after TRIES the updates stay as they are.
    """
    edited = [fact.key for fact in facts]
    cases = [case for case in make_cases(facts, (), relations, measured.profile.templates)
             if case.measure == "efficacy"]  # fmt: skip
    before = grade(reader, deltas_of(updates), cases).rates["efficacy"]
    for number in range(TRIES):
        found = compact(updates, units, measured, edited, MOST_ERROR / 2**number)
        after = grade(reader, deltas_of(found.updates), cases).rates["efficacy"]
        if after.value >= before.value - MOST_LOST:
            return replace(found, answered=(before, after))
    return Compacted(dict(updates), found.before, found.before, 0.0, (before, before))


def compact(
    updates: Mapping[int, Update],
    units: Items[Unit],
    measured: Measured,
    edited: Iterable[tuple[str, str]] = (),
    most_error: float = MOST_ERROR,
) -> Compacted:
    """The lowest ranks at which no unit's value is off by more than `most_error` of its residual.

    A layer whose rank would not fall stays as it is, exactly.
    """
    edited = list(edited)
    found: dict[int, Update] = {}
    worst = 0.0
    for layer, update in updates.items():
        problem = layer_problem(units, measured, layer, edited)
        vectors = strongest(update, problem.keys, problem.protected())
        values = vectors.T @ (update.b @ (update.a @ problem.keys.T))  # [D, n]
        lengths = np.linalg.norm(problem.residuals, axis=1)  # [n]
        # What each unit loses when only the first r directions stay: [D + 1, n].
        lost = np.sqrt(np.append(np.cumsum(values[::-1] ** 2, 0)[::-1], 0 * values[:1], 0))
        errors = (lost / lengths).max(axis=1)
        rank = int(np.argmax(errors <= most_error))
        full = min(update.a.shape[0], update.b.shape[0])
        if 0 < rank < full:
            kept = vectors[:, :rank]
            found[layer] = Update(kept.T @ update.b @ update.a, kept)
            worst = max(worst, float(errors[rank]))
        else:
            found[layer] = update
    before, after = (max(min(u.a.shape[0], u.b.shape[0]) for u in some.values())
                     for some in (updates, found))  # fmt: skip
    return Compacted(found, before, after, worst)


def strongest(update: Update, keys: np.ndarray, protected: np.ndarray) -> np.ndarray:
    """Left singular vectors [D, D] of Delta M^½, strongest first; M = protected + keysᵀ keys."""
    inner = update.a @ keys.T
    weights = update.a @ protected @ update.a.T + inner @ inner.T  # a M aᵀ, [n, n]
    _, vectors = np.linalg.eigh(update.b @ weights @ update.b.T)
    found: np.ndarray = vectors[:, ::-1]
    return found
