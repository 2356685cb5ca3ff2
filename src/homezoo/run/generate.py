"""The loop: pass after pass over all answers on their way, prompts and single tokens alike."""

from collections.abc import Callable, Iterator

from homezoo.models.cache import Sequence
from homezoo.run.answer import Answer
from homezoo.run.constrain import Constraint, ConstraintMatcher
from homezoo.run.engine import Engine
from homezoo.run.job import Job, Request
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
    ) -> None:
        """Checks every request first.

        Raises ContextError for a prompt that does not fit, with both numbers; OptionError and
        ConstraintError for options that cannot be followed.
        """
        for request in requests:
            engine.check_prompt(request.tokens)
        jobs = [Job(request, tokenizer, engine.context, start_matcher) for request in requests]
        self._loop = _Loop(engine, jobs)
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

    def __init__(self, engine: Engine, jobs: list[Job]) -> None:
        self.jobs = jobs
        self.cancelled = False
        self._engine = engine

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
        """Starts waiting jobs, in order, while the cache has room for all that they may need."""
        while waiting:
            job = waiting[0]
            sequence = self._engine.begin(job.prompt, job.positions)
            if sequence is None:
                if not any(other.sequence is not None for other in self.jobs):
                    raise self._engine.full(job.positions)
                return
            job.start(sequence)
            del waiting[0]

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
        batch: list[tuple[Sequence, list[int]]] = [
            (job.sequence, tokens) for job, tokens in parts if job.sequence is not None
        ]
        logits = self._engine.compute(batch)  # [R, V], a row for each part
        for row, (job, tokens) in enumerate(parts):
            del job.pending[: len(tokens)]
            if job.pending:
                continue
            text = job.take(logits[row])
            if job.stop_reason is not None:
                self._end(job)
            if text:
                yield self.jobs.index(job), text

    def _end(self, job: Job) -> None:
        if job.sequence is not None:
            self._engine.end(job.sequence)
            job.sequence = None
