"""Keys and residuals of facts, found on the untouched base, many facts at once.

A residual r is what must be added to the output of a layer's ffn_down, at the positions of
sites.py, so that the model says the new object (z - h in Meng et al. 2022, equation 16).
"""

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from homezoo.edit.fact_record import Unit, unit_id
from homezoo.edit.problem import Problem
from homezoo.edit.reader import Reader
from homezoo.edit.sites import Plan
from homezoo.edit.spent import Spent
from homezoo.errors import OptionError

Search = Literal["full", "draft"]
SEARCHES: tuple[str, ...] = ("full", "draft")
GROUP_TOKENS = 4096  # read at once: what is kept of them stays below some 300 MB on small models
KEPT_BYTES = 512 << 20  # of keys and values that one group may keep
_BETAS = 0.9, 0.999  # of Adam (Kingma and Ba 2015)
_TINY = 1e-12
_NARROWED = 0.8  # share of the computed facts that still moves, at which the others are left out
# Lengths of a draft's residual to try, in units of the state's.
_DRAFT_LENGTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class SearchSettings:
    """How residuals are searched; lengths are relative to the state's, to fit any model."""

    search: Search = "full"
    steps: int = 120
    # Of a step: so many |h| / sqrt(D) in each coordinate. Small steps find shorter residuals, which
    # break less; a low stop carries them into other wordings (docs/LOG.md).
    rate: float = 0.03
    stop: float = 0.01  # nats: a fact is done when each of its tokens is that likely
    clamp: float = 4.0  # most |r| / |h|
    decay: float = 1e-3  # of (|r| / |h|)², in nats

    def __post_init__(self) -> None:
        if self.search not in SEARCHES:
            raise OptionError(f"search is {self.search!r}; expected {' or '.join(SEARCHES)}")
        for name in ("steps", "rate", "stop", "clamp"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} is {getattr(self, name)}; expected a number above 0")


@dataclass(eq=False)
class Found:
    """What a search gave for U units of F facts; float32 arrays."""

    keys: np.ndarray  # [U, K]
    residuals: np.ndarray  # [U, D]
    owners: np.ndarray  # int64 [U], the fact of each unit
    before: np.ndarray  # [F] nats, mean of the fact's tokens without a residual
    after: np.ndarray  # [F]
    lengths: np.ndarray  # [U], |r| / |h|
    passes: int  # how often the layers after the edited one were run


def search(problem: Problem, settings: SearchSettings) -> Found:
    """Residuals of the problem's units. A fact's loss is never above that without a residual."""
    import torch

    facts = int(problem.owners.max()) + 1
    owners = torch.from_numpy(problem.owners)
    asked = torch.from_numpy(problem.question_owners)
    counts = torch.bincount(asked, minlength=facts)
    length = torch.from_numpy(problem.lengths())[:, None]  # [U, 1]
    width = problem.model.config.width
    best = torch.zeros(len(owners), width)
    best_loss = torch.full((facts,), torch.inf, dtype=torch.float64)
    before, passes = best_loss.clone(), 0
    for residuals, losses in _proposals(problem, settings, owners, asked, length):
        passes += 1
        mean = torch.zeros(facts, dtype=torch.float64).index_add(0, asked, losses) / counts
        if before.isinf().any():
            before = mean.clone()
        better = mean < best_loss
        best_loss = torch.where(better, mean, best_loss)
        best = torch.where(better[owners][:, None], residuals, best)
    ratio = best.double().norm(dim=1) / length[:, 0]
    return Found(
        problem.keys(), best.numpy(), problem.owners, before.numpy(), best_loss.numpy(),
        ratio.numpy(), passes,
    )  # fmt: skip


def _proposals(
    problem: Problem, settings: SearchSettings, owners: Any, asked: Any, length: Any
) -> Iterator[tuple[Any, Any]]:
    """Residuals [U, D] and their losses [questions], first those of none."""
    import torch

    width = problem.model.config.width
    values = torch.zeros(len(owners), width)
    first, second = torch.zeros_like(values), torch.zeros_like(values)
    step = settings.rate * length / width**0.5
    facts = int(owners.max()) + 1
    active = torch.ones(facts, dtype=torch.bool)
    computed = facts  # of them; what has come to its end is left out, a few facts at a time
    known = torch.zeros(len(asked), dtype=torch.float64)
    for number in range(1, settings.steps + 2):
        free = values.clone().requires_grad_(number <= settings.steps)
        losses = problem.losses(free)
        known = torch.where(active[asked], losses.detach(), known)
        yield values.clone(), known
        worst = torch.zeros(facts, dtype=torch.float64).scatter_reduce(0, asked, known, "amax")
        active = worst >= settings.stop  # [F]; who is done moves no more, and stays done
        left = int(active.sum())
        if not left or number > settings.steps:
            return
        ratio = (free / length).square().sum(1)
        total = losses[active[asked]].sum() + settings.decay * ratio[active[owners]].sum()
        (slope,) = torch.autograd.grad(total, free)
        moving = active[owners][:, None]
        if settings.search == "draft":
            yield from _drafts(problem, slope, length)
            return
        first = torch.where(moving, first.lerp(slope, 1 - _BETAS[0]), first)
        second = torch.where(moving, second.lerp(slope.square(), 1 - _BETAS[1]), second)
        direction = (first / (1 - _BETAS[0] ** number)) / (
            (second / (1 - _BETAS[1] ** number)).sqrt() + _TINY
        )
        values = torch.where(moving, values - step * direction, values).float()
        scale = (settings.clamp * length / values.double().norm(dim=1, keepdim=True)).clamp(max=1)
        values = (values * scale).float()
        if left <= _NARROWED * computed:
            problem.narrow(active.numpy())
            computed = left


def _drafts(problem: Problem, slope: Any, length: Any) -> Iterator[tuple[Any, Any]]:
    """Steps of several lengths against one gradient."""
    import torch

    direction = -slope / slope.norm(dim=1, keepdim=True).clamp(min=_TINY)
    for part in _DRAFT_LENGTHS:
        values = (part * length * direction).float()
        with torch.no_grad():
            yield values, problem.losses(values)


def find_units(
    reader: Reader,
    plans: Items[Plan],
    layer: int,
    settings: SearchSettings,
    profile: str,
    progress: Callable[[int, int], None] | None = None,
    spent: Spent | None = None,
) -> Iterator[list[Unit]]:
    """Units of facts, a group at a time; `progress` gets how many facts are done of all."""
    done, spent = 0, spent or Spent()
    for group in grouped(reader, plans):
        with spent.on("keys"):
            problem = Problem(reader, group, layer)
        with spent.on("residuals"):
            found = search(problem, settings)
        facts = sum(len(plan.facts) for plan in group)
        spent.facts += facts
        spent.passes += found.passes
        units, number = [], 0
        for fact, plan in enumerate(group):
            id = plan.id
            for site in plan.sites:
                units.append(
                    Unit(
                        unit_id(id, site.place, profile),
                        id,
                        site.place,
                        layer,
                        site.prompt,
                        site.target,
                        found.keys[number],
                        found.residuals[number],
                        float(found.before[fact]),
                        float(found.after[fact]),
                        float(found.lengths[number]),
                    )
                )
                number += 1
        done += facts
        if progress is not None:
            progress(done, sum(len(plan.facts) for plan in plans))
        yield units


def grouped(reader: Reader, plans: Items[Plan]) -> Iterator[list[Plan]]:
    """Facts together as far as memory allows, at least one."""
    config = reader.model.config
    token = config.layers * config.kv_heads * config.head_width * 2 * 4
    most = max(1, min(GROUP_TOKENS, KEPT_BYTES // token))
    group: list[Plan] = []
    used = 0
    for plan in plans:
        tokens = sum(len(path.tokens) for path in plan.paths)
        if group and used + tokens > most:
            yield group
            group, used = [], 0
        group.append(plan)
        used += tokens
    if group:
        yield group
