"""Owns model, cache and compiled backend: runs batches, and knows what is computed already."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

import numpy as np

from homezoo.errors import ContextError, OptionError
from homezoo.formats.adapter_file import Adapter
from homezoo.models.batch import CHUNK, Batch, build_batch
from homezoo.models.cache import Adapters, CacheType, KVCache, Sequence
from homezoo.models.load import Model
from homezoo.ops.protocol import BLOCK_POSITIONS
from homezoo.run.adapters import AttachedAdapters
from homezoo.run.backend import Backend
from homezoo.run.pass_costs import PassCosts

LOGITS_CHUNK = 128  # rows of a pass that wants all logits: 128 rows of 152 000 floats are 78 MB
KEPT_MOST = 32  # finished sequences to compare a new prompt with; far more would cost milliseconds


class Engine:
    """Computes sequences in one cache. Threads may share it: passes run one at a time."""

    def __init__(
        self,
        model: Model,
        context: int,
        cache: CacheType = "f16",
        backend: str = "native",
        threads: int | None = None,
        parallel: int = 1,
        chunk: int = CHUNK,
    ) -> None:
        """A cache for `parallel` sequences of `context` positions; shorter sequences, more of them.

        Raises OptionError for a value out of its range.
        """
        for name, value in (("context", context), ("parallel", parallel), ("chunk", chunk)):
            if value < 1:
                raise OptionError(f"{name} is {value}; expected 1 or more")
        blocks = -(-context // BLOCK_POSITIONS) * parallel
        self.model = model
        self.backend = backend
        self.parallel = parallel
        self.context = context
        self.chunk = chunk
        self.vocab_size = model.config.vocab_size
        self.cache = KVCache.for_model(model.config, blocks * BLOCK_POSITIONS, cache)
        self._backend = Backend(backend, model, self.cache, threads)
        self._adapters = AttachedAdapters(model)
        self.costs = PassCosts()
        self._lock = threading.RLock()
        self._promised: dict[Sequence, int] = {}  # running sequences: blocks they may come to hold
        self._kept: dict[Sequence, None] = {}  # finished ones, longest unused first
        # called before a prompt is begun: may import what is known of it from elsewhere
        self.recall: Callable[[list[int], Adapters], None] | None = None

    def attach(self, name: str, adapter: Adapter, strength: float = 1.0) -> None:
        """Makes an adapter ready; from now on it counts for answers that choose none themselves.

        What was computed before stays: it serves answers without the adapter. Raises AdapterError
        when it does not fit the model, OptionError for a name that is taken.
        """
        with self._lock:
            self._adapters.attach(name, adapter, strength)
            self._backend.compile()

    def detach(self, name: str) -> None:
        """Takes an adapter away; the model then computes as before it, bit for bit.

        OptionError for an unknown name, or while answers with the adapter are running.
        """
        with self._lock:
            number = self._adapters.number_of(name)
            if any(number in dict(sequence.adapters) for sequence in self._promised):
                raise OptionError(f"answers with adapter {name!r} are running; end them first")
            for sequence in [kept for kept in self._kept if number in dict(kept.adapters)]:
                del self._kept[sequence]
                sequence.release()
            self._adapters.detach(name)
            self._backend.compile()

    @property
    def adapters(self) -> dict[str, float]:
        """The adapters attached: name to strength."""
        return self._adapters.strengths

    def choose_adapters(self, wanted: Mapping[str, float] | None) -> Adapters:
        """What a sequence is begun with: by name and strength; None means all as attached."""
        return self._adapters.choose(wanted)

    def begin(self, tokens: list[int], positions: int, adapters: Adapters = ()) -> Sequence | None:
        """A sequence that holds the longest computed prefix of `tokens`, less their last one.

        Only what the same adapters computed, at the same strengths, serves. Room for `positions`
        positions in all is set aside. None when other running sequences hold it; ContextError when
        it could never fit, OptionError for an id outside the vocabulary.
        """
        self.check_prompt(tokens)
        with self._lock:
            self._adapters.check_attached(adapters)
            if self.recall is not None:
                self.recall(tokens[:-1], adapters)
            sequence = self._longest_prefix(tokens[:-1], adapters)
            if self._promise(sequence, min(positions, self.context)):
                return sequence
            if any(map(self.cache.is_shared, sequence.blocks)):
                sequence.release()  # a fork: what a running sequence shares, it must copy to go on
            else:
                self._keep(sequence)
            return None

    @property
    def kept(self) -> tuple[Sequence, ...]:
        """Finished sequences whose keys and values are still there; not to be changed."""
        return tuple(self._kept)

    def import_prefix(
        self, tokens: list[int], adapters: Adapters, fill: Callable[[list[int]], None]
    ) -> bool:
        """Keeps tokens as if they had been computed: `fill` writes the blocks that it is given.

        False, and nothing changes, when running sequences leave no room.
        """
        with self._lock:
            sequence = Sequence(self.cache, self.context, adapters)
            if not self._promise(sequence, len(tokens)):
                return False
            try:
                sequence.extend(tokens)
                fill(sequence.blocks)
            except BaseException:
                sequence.release()
                raise
            finally:
                self._promised.pop(sequence, None)
            self._keep(sequence)
            return True

    def compute(
        self, parts: list[tuple[Sequence, list[int]]], last_rows: list[int] | None = None
    ) -> np.ndarray:
        """One pass over new tokens of sequences: logits of each part's last one, float32 [R, V].

        With `last_rows`, of so many last ones of each part. Whatever goes wrong, Ctrl-C included,
        the sequences are then as before.
        """
        with self._lock:
            started = time.perf_counter()
            logits = self._run(self._backend.logits, parts, False, last_rows)
            tokens = sum(len(new) for _, new in parts)
            self.costs.note(tokens, time.perf_counter() - started)
            return logits

    @property
    def turn(self) -> AbstractContextManager[object]:
        """While it is held, no other thread begins a sequence or computes a pass."""
        return self._lock

    def end(self, sequence: Sequence) -> None:
        """Gives up the room set aside, and keeps what was computed until the room is needed."""
        with self._lock:
            self._promised.pop(sequence, None)
            self._keep(sequence)

    def logits(self, tokens: list[int]) -> Iterator[np.ndarray]:
        """Logits after every token, float32 [some, V] at a time; each array until the next."""
        return self._every_row(self._backend.logits, tokens, LOGITS_CHUNK)

    def states(self, tokens: list[int]) -> Iterator[np.ndarray]:
        """Final-normed states of every token, float32 [some rows, D] at a time; likewise."""
        chunk = self.chunk if self.model.config.causal else max(len(tokens), 1)  # or all at once
        return self._every_row(self._backend.states, tokens, chunk)

    def check_prompt(self, tokens: list[int]) -> None:
        """ContextError for more tokens than the context has, OptionError for none or wrong ones."""
        if not tokens:
            raise OptionError("the prompt has 0 tokens; give at least one")
        if len(tokens) > self.context:
            raise ContextError(
                f"the prompt has {len(tokens)} tokens and the context {self.context}; "
                "shorten the prompt or ask for a larger context"
            )
        for token in (min(tokens), max(tokens)):
            if not 0 <= token < self.vocab_size:
                raise OptionError(
                    f"token id {token}; the vocabulary has 0 to {self.vocab_size - 1}"
                )

    def _run(
        self,
        compute: Callable[[Batch], np.ndarray],
        parts: list[tuple[Sequence, list[int]]],
        every_row: bool,
        last_rows: list[int] | None = None,
    ) -> np.ndarray:
        with self._lock:
            starts = [len(sequence) for sequence, _ in parts]
            try:
                return compute(build_batch(parts, every_row, last_rows))
            except BaseException:
                for (sequence, _), start in zip(parts, starts, strict=True):
                    sequence.truncate(min(start, len(sequence)))
                raise

    def _every_row(
        self, compute: Callable[[Batch], np.ndarray], tokens: list[int], rows: int
    ) -> Iterator[np.ndarray]:
        self.check_prompt(tokens)
        sequence = Sequence(self.cache, self.context, self._adapters.choose(None))
        with self._lock:
            if not self._promise(sequence, len(tokens)):
                raise self.full(len(tokens))
        try:
            for start in range(0, len(tokens), rows):
                yield self._run(compute, [(sequence, tokens[start : start + rows])], every_row=True)
        finally:
            with self._lock:
                self._promised.pop(sequence, None)
                sequence.release()

    def full(self, positions: int) -> ContextError:
        """The error of a sequence for which other running ones leave no room."""
        total = self.cache.block_count * BLOCK_POSITIONS
        return ContextError(
            f"{positions} positions are wanted, but of the cache's {total} other running answers "
            "hold too many; end them, set max_tokens, or open the model with a larger `parallel`"
        )

    def _longest_prefix(self, tokens: list[int], adapters: Adapters) -> Sequence:
        """A kept sequence when all of it serves, a fork when another may want the rest."""
        best, shared = None, 0
        for sequence in (*self._kept, *self._promised):
            if sequence.adapters != adapters:
                continue
            length = sequence.common_prefix(tokens)
            if length > shared:
                best, shared = sequence, length
        if best is None:
            return Sequence(self.cache, self.context, adapters)
        if best in self._kept and shared == len(best):
            del self._kept[best]
            return best
        if best in self._kept:  # used just now: the last to be given up
            self._keep(best)
        return best.fork(shared)

    def _promise(self, sequence: Sequence, positions: int) -> bool:
        """Sets blocks aside for a sequence, giving up kept ones, the longest unused first."""
        self._promised[sequence] = -(-positions // BLOCK_POSITIONS)
        while sum(map(self._owed, self._promised)) > self.cache.free_blocks:
            if not self._kept:
                del self._promised[sequence]
                return False
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            oldest.release()
        return True

    def _owed(self, sequence: Sequence) -> int:
        """Blocks that a running sequence may still take; one more to copy a shared one."""
        held = len(sequence.blocks)
        copy = (
            held > 0
            and len(sequence) % BLOCK_POSITIONS
            and self.cache.is_shared(sequence.blocks[-1])
        )
        return max(0, self._promised[sequence] - held) + bool(copy)

    def _keep(self, sequence: Sequence) -> None:
        self._kept.pop(sequence, None)
        if len(sequence):
            self._kept[sequence] = None
        while len(self._kept) > KEPT_MOST:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            oldest.release()
