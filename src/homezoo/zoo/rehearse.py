"""How fast a model will run here, measured on its layers, or on stand-ins before it is fetched.

The layers have the shapes and formats of the real ones and lie in as much memory, up to what no
processor's cache holds; of a larger model a part is timed, and the rest reckoned from that.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.batch import CHUNK, Batch
from homezoo.models.cache import CacheType, KVCache
from homezoo.models.config import ModelConfig
from homezoo.models.load import ModelFile
from homezoo.models.sketch import ALIGNMENT, layer_of, sketch, stand_in_bytes
from homezoo.ops.memory import available_memory
from homezoo.ops.native import compile_native, make_threads
from homezoo.ops.protocol import BLOCK_POSITIONS

# Weights in memory at once: more than the last-level caches of home machines, so that decoding
# reads from memory as it will.
MOST_BYTES = 512 << 20
AVAILABLE_SHARE = 0.25  # and no more of what is free
MOST_CACHE_BYTES = 128 << 20  # keys and values likewise; further positions see the same ones again
# Multiply-adds of one timed pass through a prompt: a quarter of a second on two cores.
PASS_OPERATIONS = 60e9
DEPTH = 4096  # positions before the deepest pass that is timed: beyond, times grow by a line
SECONDS = 0.4  # of each time that is taken
SPAN, LEAST_SPANS = 0.05, 3  # seconds of calls that are timed as one
FILLING = 0x2C  # of keys and values: as float16 0.07


@dataclass(frozen=True)
class Line:
    """Seconds of a pass by the positions before it: with none, and with `depth`."""

    first: float
    deep: float
    depth: int

    def at(self, position: int) -> float:
        """On the line through both; beyond `depth` too."""
        rise = max(0.0, self.deep - self.first)
        return self.first + (rise * position / self.depth if self.depth else 0.0)


@dataclass(frozen=True)
class Speeds:
    """What passes of a model take."""

    prefill: Line  # of `chunk` tokens
    decode: Line  # of one token
    chunk: int

    def prefill_seconds(self, tokens: int) -> float:
        """For a prompt of so many tokens: each further chunk sees all before it."""
        return sum(
            self.prefill.at(start) * min(self.chunk, tokens - start) / self.chunk
            for start in range(0, tokens, self.chunk)
        )

    def decode_seconds(self, position: int) -> float:
        """For the token at a position."""
        return self.decode.at(position)


def rehearse(
    file: ModelFile,
    context: int,
    cache: CacheType = "f16",
    threads: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Speeds:
    """Times passes of a model with the first `context` positions; a few seconds in all.

    Raises what loading the model raises, MemoryError when there is none for the stand-ins.
    """
    return _Rehearsal(file, context, cache, threads, clock).speeds()


class _Rehearsal:
    """The stand-ins of one model and what was timed with them."""

    def __init__(
        self,
        file: ModelFile,
        context: int,
        cache: CacheType,
        threads: int,
        clock: Callable[[], float],
    ) -> None:
        self.file = file
        self.clock = clock
        self.config = ModelConfig.from_metadata(file.metadata, file.tensors)
        self.cache = cache
        self.threads = make_threads(threads)
        self.chunk = min(CHUNK, context)
        self.depth = min(DEPTH, context) - 1  # of the deepest token
        sizes = [tensor.data.nbytes for tensor in file.tensors.values()]
        room = min(MOST_BYTES, int((available_memory() or 1 << 62) * AVAILABLE_SHARE))
        self.room = max(max(sizes), min(sum(sizes) + ALIGNMENT * len(sizes), room))
        # A file that is here is timed as it lies, with its own values and pages.
        self.memory = None if isinstance(file, GGUFFile) else stand_in_bytes(self.room)

    def speeds(self) -> Speeds:
        few = self._layers(PASS_OPERATIONS / self.chunk, self._operations())
        many = self._layers(self.room, self._bytes())
        bare = self._passes(0, 1).first if 0 < min(few, many) < self.config.layers else 0.0
        return Speeds(
            self._whole(self._passes(few, self.chunk), few, bare),
            self._whole(self._passes(many, 1), many, bare),
            self.chunk,
        )

    def _whole(self, some: Line, layers: int, bare: float) -> Line:
        """From the times with some layers to those with all; `bare` is that with none."""
        share = self.config.layers / layers
        first, deep = (bare + max(0.0, time - bare) * share for time in (some.first, some.deep))
        return Line(first, deep, some.depth)

    def _layers(self, limit: float, each: float) -> int:
        """How many layers to take, so that together they stay within a limit; at least one, and
        whole groups where layers of different kinds take turns."""
        group = max(self.config.kind.full_every, 1)
        count = max(1, int(limit / max(each, 1)))
        return min(self.config.layers, max(group, count - count % group))

    def _operations(self) -> float:
        """Multiply-adds of one layer for one token."""
        return self._sum(lambda rows, width, size: rows * width)

    def _bytes(self) -> float:
        """Bytes of one layer."""
        return self._sum(lambda rows, width, size: size)

    def _sum(self, of: Callable[[int, int, int], float]) -> float:
        """Over the tensors of all layers, by layer; experts count as often as one is chosen."""
        chosen = self.config.experts_used / max(self.config.experts, 1)
        return (
            sum(
                of(tensor.rows, tensor.width, tensor.data.nbytes)
                * (chosen if "_exps." in name else 1)
                for name, tensor in self.file.tensors.items()
                if layer_of(name) is not None
            )
            / self.config.layers
        )

    def _passes(self, layers: int, tokens: int) -> Line:
        """Times of a pass of `tokens` tokens that begins a sequence, and that ends it."""
        model = sketch(self.file, layers, self.memory)
        cache = self._filled_cache(model.config)
        compute = compile_native(model, cache, self.threads)
        depth = self.depth + 1 - tokens
        first = self._time(partial(compute, self._batch(cache, 0, tokens)))
        deep = self._time(partial(compute, self._batch(cache, depth, tokens))) if depth else first
        return Line(first, deep, depth)

    def _filled_cache(self, config: ModelConfig) -> KVCache:
        """As many positions as the passes reach, or as fit; none of them untouched memory, which
        would be read faster."""
        block = KVCache.for_model(config, 1, self.cache)
        each = sum(array.nbytes for array in (*block.k, *block.v))
        wanted = -(-(self.depth + 1) // BLOCK_POSITIONS)
        blocks = min(wanted, max(1, MOST_CACHE_BYTES // max(each, 1)))
        cache = KVCache.for_model(config, blocks * BLOCK_POSITIONS, self.cache)
        for array in (*cache.k, *cache.v):
            array.fill(FILLING)
        return cache

    def _batch(self, cache: KVCache, start: int, tokens: int) -> Batch:
        """Tokens of one sequence from position `start` on."""
        pages = np.arange(-(-(start + tokens) // BLOCK_POSITIONS), dtype=np.int32)
        vocabulary = np.random.default_rng(start).integers(0, self.config.vocab_size, tokens)
        return Batch(
            tokens=vocabulary.astype(np.int32),
            positions=np.arange(start, start + tokens, dtype=np.int32),
            sequences=np.zeros(tokens, np.int32),
            blocks=(pages % cache.block_count)[None, :],
            rows=np.array([tokens - 1], np.int32),
        )

    def _time(self, work: Callable[[], object]) -> float:
        """Seconds of a call, after a first one that does not count: the median of some spans.

        A span is as many calls as take a while together, so that what disturbs a busy machine
        now and then is in the figure as it will be in the run.
        """
        work()
        spans: list[float] = []
        start = self.clock()
        while len(spans) < LEAST_SPANS or self.clock() - start < SECONDS:
            begun, calls = self.clock(), 0
            while calls == 0 or self.clock() - begun < SPAN:
                work()
                calls += 1
            spans.append((self.clock() - begun) / calls)
        return statistics.median(spans)
