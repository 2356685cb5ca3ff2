"""Drawn queries, keys and values, and attention with them by the reference and by the kernels."""

from typing import Any

import numpy as np
from native_programs import BEST, as_table, section

from homezoo import _native
from homezoo.models.batch import Batch, build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.ops.native import NativeOps
from homezoo.ops.protocol import CAUSAL
from homezoo.ops.reference import ReferenceOps


class Heads:
    """Drawn queries, keys and values of one sequence, and the two ways to attend with them."""

    def __init__(
        self, length: int, heads: int = 4, kv_heads: int = 2, width: int = 32, seed: int = 0
    ) -> None:
        random = np.random.default_rng(seed)
        self.heads, self.kv_heads, self.width = heads, kv_heads, width
        self.scale = width**-0.5
        self.form = CAUSAL
        self.q = random.standard_normal((length, heads * width), np.float32)
        self.k = random.standard_normal((length, kv_heads * width), np.float32)
        self.v = random.standard_normal((length, kv_heads * width), np.float32)
        self.k[length // 2] *= 6  # a late, high score: earlier blocks must be scaled down
        self.v += np.float32(0.5)  # so that means are not near 0

    def new_cache(self, type: Any) -> tuple[KVCache, Sequence]:
        """An empty cache in whose page table blocks and pages have different numbers."""
        cache = KVCache(1, self.kv_heads, self.width, len(self.q) + 128, type)
        cache.take()
        return cache, Sequence(cache)

    def reference(self, type: Any, window: int | None, rows: list[int] | None = None) -> np.ndarray:
        """Results [T, H·E], or of the tokens `rows` alone."""
        cache, sequence = self.new_cache(type)
        batch = build_batch([(sequence, [0] * len(self.q))])
        if rows is None:
            ops = ReferenceOps(batch, cache, exact=False)
            return ops.attention(self.q, self.k, self.v, 0, self.scale, window, self.form)
        ReferenceOps(batch, cache, exact=False).attention(
            self.q[:0], self.k, self.v, 0, self.scale, window, self.form
        )
        few = Batch(
            batch.tokens[rows],
            batch.positions[rows],
            batch.sequences[rows],
            batch.blocks,
            batch.rows,
        )
        again = (array[rows] for array in (self.q, self.k, self.v))
        return ReferenceOps(few, cache, exact=False).attention(
            *again, 0, self.scale, window, self.form
        )

    def native(
        self,
        type: Any,
        window: int | None,
        kernels: str = BEST,
        threads: int = 1,
        chunks: tuple[int, ...] = (),
    ) -> tuple[np.ndarray, KVCache]:
        """Results [T, H·E] and the cache; `chunks` are its batches' sizes (one by default)."""
        cache, sequence = self.new_cache(type)
        with section(kernels):
            program = _native.Program(_native.Threads(threads))
        tables = (self.q, self.k, self.v)
        inputs = [program.embed(as_table(x), 0, x.shape[1]) for x in tables]
        program.finish(
            NativeOps(program, cache).attention(*inputs, 0, self.scale, window, self.form)
        )
        done, out = 0, []
        for size in chunks or (len(self.q),):
            b = build_batch([(sequence, list(range(done, done + size)))])
            out.append(program.run(b.tokens, b.positions, b.sequences, b.blocks, b.rows))
            done += size
        assert done == len(self.q)
        return np.concatenate(out), cache
