"""The loop of training: batches in, steps out, with validation, checkpoints and a way to stop."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from homezoo.errors import TrainingError
from homezoo.train.checkpoint import load_checkpoint, save_checkpoint
from homezoo.train.optimizers import Optimizers
from homezoo.train.options import TrainingOptions
from homezoo.train.packing import Pack
from homezoo.train.passes import Passes
from homezoo.train.schedule import learning_rate

STOPPED = "stopped"
ETA_AFTER = 3  # steps: the first ones pay for the pages of the file


class Stopped(Exception):
    """The user wants to stop; training is as after the last whole step."""


@dataclass(frozen=True)
class StepReport:
    """What is told after each step."""

    step: int  # from 1 on
    steps: int
    loss: float  # mean of a learned token, in nats
    rate: float
    norm: float  # of the gradient before it was clipped
    tokens: int
    labels: int
    seconds: float
    validation: float | None = None
    tokens_per_second: float | None = None  # of all steps so far but the first
    seconds_left: float | None = None  # from the third step on


@dataclass
class Progress:
    """How far training has come; all of it goes into checkpoints."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = math.nan  # of the last step
    validation: float | None = None  # the last measured
    best: float = math.inf
    best_step: int = 0
    worse: int = 0  # measures in a row without a better one
    ended: str = ""  # why it ended before its last step


@dataclass
class Trainer:
    """One run. `trained` are all parameters by name; `run` says what the run is made of."""

    passes: Passes
    trained: Mapping[str, Any]
    optimizers: Optimizers
    options: TrainingOptions
    steps: int
    batches: Callable[[int], Iterator[list[Pack]]]  # from a step's number on
    held: Passes  # for validation, whose documents have other numbers
    validation: list[Pack]
    checkpoint: Path | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    _best: dict[str, Any] = field(default_factory=dict)
    _timed: list[tuple[int, float]] = field(default_factory=list)  # tokens and seconds of steps

    def train(self, report: Callable[[StepReport], None]) -> Progress:
        """All steps that are left. `Stopped` from within a pass saves a checkpoint and ends.

        Raises TrainingError when the loss is no number any more. When validation chose a better
        earlier step, its parameters are put back at the end.
        """
        saved = time.monotonic()
        try:
            for batch in self.batches(self.progress.step):
                if self.progress.step >= self.steps or self.progress.ended:
                    break
                report(self._step(batch))
                if time.monotonic() - saved > 60 * self.options.save_every:
                    self.save()
                    saved = time.monotonic()
        except Stopped:
            self.optimizers.forget()
            self.progress.ended = STOPPED
        if self.progress.ended == STOPPED:
            self.save()
        else:
            self._restore_best()
        return self.progress

    def _step(self, batch: list[Pack]) -> StepReport:
        started = time.perf_counter()
        progress, options = self.progress, self.options
        labels = sum(pack.labels for pack in batch)
        tokens = sum(pack.tokens for pack in batch)
        total = sum(self.passes.learn(pack, 1 / labels) for pack in batch)
        loss = total / labels
        norm = self._clip()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"step {progress.step + 1}: the loss is {loss} and the gradient's norm {norm}; "
                "training came apart, so try a smaller --lr"
            )
        shape = (options.peak, options.warmup, options.schedule)
        rate = learning_rate(progress.step, self.steps, *shape)
        self.optimizers.step(rate)
        seconds = time.perf_counter() - started
        progress.step += 1
        progress.tokens += tokens
        progress.seconds += seconds
        progress.loss = loss
        measured = None
        if self._validates():
            try:
                measured = self._validate()
            except Stopped:  # the step is done; only its measure is missing
                progress.ended = STOPPED
        report = StepReport(
            progress.step, self.steps, loss, rate, norm, tokens, labels, seconds, measured
        )
        return self._with_speed(report)

    def _clip(self) -> float:
        """Norm of the gradient, which is then no longer than the options allow (Pascanu 2013)."""
        import torch

        limit = self.options.clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(list(self.trained.values()), limit)
        return float(norm)

    def _with_speed(self, report: StepReport) -> StepReport:
        """With tokens per second and, once three steps are done, the time that is left.

        The first step is left out when there are others: it reads the file for the first time.
        """
        self._timed.append((report.tokens, report.seconds))
        timed = self._timed[1:] or self._timed
        seconds = sum(took for _, took in timed)
        left = seconds / len(timed) * (report.steps - report.step)
        return replace(
            report,
            tokens_per_second=sum(tokens for tokens, _ in timed) / max(seconds, 1e-9),
            seconds_left=left if len(self._timed) >= ETA_AFTER else None,
        )

    def _validates(self) -> bool:
        if not self.validation:
            return False
        every = self.options.validate_every or max(1, self.steps // 10)
        return self.progress.step % every == 0 or self.progress.step == self.steps

    def _validate(self) -> float:
        """Mean loss of the held-out documents; keeps the parameters when it is the best so far."""
        total = sum(self.held.loss(pack) for pack in self.validation)
        loss = total / sum(pack.labels for pack in self.validation)
        progress = self.progress
        progress.validation = loss
        if loss < progress.best:
            progress.best, progress.best_step, progress.worse = loss, progress.step, 0
            if self.options.patience:
                self._best = {name: p.detach().clone() for name, p in self.trained.items()}
        else:
            progress.worse += 1
            if self.options.patience and progress.worse >= self.options.patience:
                progress.ended = f"validation found no better step than {progress.best_step}"
        return loss

    def _restore_best(self) -> None:
        import torch

        if self._best and self.progress.best_step != self.progress.step:
            with torch.no_grad():
                for name, parameter in self.trained.items():
                    parameter.copy_(self._best[name])

    def save(self) -> None:
        """Writes the checkpoint, if there is a path for one."""
        if self.checkpoint is None:
            return
        state = {
            "run": json.dumps(self.run),
            "progress": vars(self.progress),
            "trained": {name: p.detach() for name, p in self.trained.items()},
            "optimizers": self.optimizers.state(),
            "best": self._best,
        }
        save_checkpoint(self.checkpoint, state)

    def resume(self) -> None:
        """Goes back to the checkpoint; OptionError when it is of another run."""
        import torch

        assert self.checkpoint is not None
        state = load_checkpoint(self.checkpoint, self.run)
        self.progress = Progress(**state["progress"])
        self.progress.ended = ""
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(state["trained"][name])
        self.optimizers.restore(state["optimizers"])
        self._best = state["best"]
