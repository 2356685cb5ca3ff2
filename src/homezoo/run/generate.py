"""The loop: pass after pass over all answers on their way, prompts and single tokens alike."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from homezoo.ops.protocol import BLOCK_POSITIONS
from homezoo.run.answer import Answer
from homezoo.run.constrain import Constraint, ConstraintMatcher
from homezoo.run.draft import Draft
from homezoo.run.engine import Engine
from homezoo.run.job import Job, Request
from homezoo.run.speculate import Speculation, Speculator
from homezoo.text.tokenizer import Tokenizer


class Generation:
    """Some answers, computed side by side. None of them depends on which others are beside it.

    Once it is let go of, its sequences are given back.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        requests: list[Request],
        start_matcher: Callable[[Constraint], ConstraintMatcher],
        draft: Draft | None = None,
    ) -> None:
        """Checks every request first.

        Raises ContextError for a prompt that does not fit, with both numbers; OptionError and
        ConstraintError for options that cannot be followed.
        """
        for request in requests:
            engine.check_prompt(request.tokens)
        jobs = [
            Job(
                request,
                tokenizer,
                engine.context,
                start_matcher,
                engine.choose_adapters(request.options.adapters),
            )
            for request in requests
        ]
        self._loop = _Loop(engine, jobs, draft)
        self._pieces = self._loop.run()  # refers to the loop and not to self, so no cycle keeps it

    def pieces(self) -> Iterator[tuple[int, str]]:
        """Each piece of text that can be shown, with the number of its request.

        Ctrl-C or closing the iterator ends all answers as "cancelled"; they can still be read.
        """
        return self._pieces

    def cancel(self) -> None:
        """Ends all unfinished answers before the next pass; may be called from another thread."""
        self._loop.cancelled = True

    def answers(self) -> list[Answer]:
        """The answers in the order of the requests; computes what is left."""
        for _ in self._pieces:
            pass
        return [job.answer() for job in self._loop.jobs]


class _Loop:
    """Admits jobs while there is room, and passes over those that run until all are finished."""

    def __init__(self, engine: Engine, jobs: list[Job], draft: Draft | None) -> None:
        self.jobs = jobs
        self.cancelled = False
        self._engine = engine
        self._speculators = [
            None if job.options.speculate == "off" else Speculator(job, draft) for job in jobs
        ]

    def run(self) -> Iterator[tuple[int, str]]:
        waiting = list(self.jobs)
        try:
            while not self.cancelled:
                self._admit(waiting)
                parts = self._next_parts()
                if not parts:
                    break
                yield from self._step(parts)
        finally:
            for job in self.jobs:
                job.cancel()
                self._end(job)

    def _admit(self, waiting: list[Job]) -> None:
        """Starts waiting jobs, in order, while the cache has room for all that they may need.

        One whose prompt begins as a running one's, that is still being computed, waits for that.
        """
        for job in list(waiting):
            if any(self._will_share(other, job) for other in self.jobs):
                continue
            sequence = self._engine.begin(job.prompt, job.positions, job.adapters)
            if sequence is None:
                if not any(other.sequence is not None for other in self.jobs):
                    raise self._engine.full(job.positions)
                return
            job.start(sequence)
            waiting.remove(job)

    def _will_share(self, running: Job, job: Job) -> bool:
        """Whether a running job is about to compute a block or more of another's prompt."""
        if running.sequence is None or len(running.pending) < BLOCK_POSITIONS:
            return False
        if running.adapters != job.adapters:
            return False
        computed = len(running.sequence)
        ahead = job.prompt[computed : computed + BLOCK_POSITIONS]
        return (
            len(job.prompt) > computed + BLOCK_POSITIONS
            and ahead == running.pending[:BLOCK_POSITIONS]
            and running.prompt[:computed] == job.prompt[:computed]
        )

    def _next_parts(self) -> list[tuple[Job, list[int]]]:
        """Tokens of the next pass: those of answers first, then as much of prompts as fits."""
        running = [job for job in self.jobs if job.sequence is not None]
        parts = []
        room = self._engine.chunk
        for job in sorted(running, key=lambda job: len(job.pending)):
            tokens = job.pending[:room]
            if tokens:
                parts.append((job, tokens))
                room -= len(tokens)
        return parts

    def _step(self, parts: list[tuple[Job, list[int]]]) -> Iterator[tuple[int, str]]:
        """One pass. Its text comes in the pieces that single tokens would have given."""
        speculation = self._speculate(parts)
        guesses = [[] for _ in parts] if speculation is None else speculation.tokens
        started = time.perf_counter()
        pieces: list[tuple[int, str]] = []
        chosen = row = 0
        # One turn until the wrong guesses are forgotten: no other sequence may come to share them.
        with self._engine.turn:
            logits = self._compute(parts, guesses)
            for part, (job, tokens) in enumerate(parts):
                rows = logits[row : row + 1 + len(guesses[part])]
                row += len(rows)
                del job.pending[: len(tokens)]
                if job.pending:
                    continue
                texts = self._take(job, rows, guesses[part])
                pieces += [(self.jobs.index(job), text) for text in texts if text]
                chosen += len(texts)
                if speculation is not None:
                    speculation.settle(part, job.history[-1], len(texts) - 1)
                if job.stop_reason is not None:
                    self._end(job)
        if speculation is not None:
            speculation.finish(chosen, time.perf_counter() - started)
        yield from pieces

    def _speculate(self, parts: list[tuple[Job, list[int]]]) -> Speculation | None:
        """Guesses, unless a prompt is in the pass: that fills it anyway."""
        if any(len(tokens) > 1 or len(job.pending) > 1 for job, tokens in parts):
            return None
        speculators = [self._speculators[self.jobs.index(job)] for job, _ in parts]
        if not any(speculators):
            return None
        return Speculation(self._engine.costs, speculators)

    def _compute(self, parts: list[tuple[Job, list[int]]], guesses: list[list[int]]) -> np.ndarray:
        """Logits [R, V]: of each part's last token, and of each guessed one right after it."""
        batch = [
            (job.sequence, tokens + guess)
            for (job, tokens), guess in zip(parts, guesses, strict=True)
            if job.sequence is not None
        ]
        return self._engine.compute(batch, [1 + len(guess) for guess in guesses])

    def _take(self, job: Job, rows: np.ndarray, guess: list[int]) -> list[str]:
        """Chooses from rows [1 + guesses, V] while the guesses are right; a text for each token."""
        assert job.sequence is not None
        certain = len(job.sequence) - len(guess)
        texts = [job.take(rows[0])]
        for token, row in zip(guess, rows[1:], strict=True):
            if job.stop_reason is not None or job.pending != [token] or self.cancelled:
                break
            texts.append(job.take(row))
        job.sequence.truncate(certain + len(texts) - 1)
        return texts

    def _end(self, job: Job) -> None:
        if job.sequence is not None:
            self._engine.end(job.sequence)
            job.sequence = None
            speculator = self._speculators[self.jobs.index(job)]
            if speculator is not None:
                speculator.close()
