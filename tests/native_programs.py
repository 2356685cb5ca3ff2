"""Small programs of the native kernels: single operations on given arrays, and whole models."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from homezoo import _native
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.load import Model
from homezoo.ops.native import NativeOps, compile_native

SECTIONS = _native.sections()  # the kernels that this CPU can execute, plain first
BEST = _native.section()  # what it uses unless told otherwise
NO_ROWS = np.zeros(0, np.int32)


@contextmanager
def section(name: str) -> Iterator[None]:
    """Programs made inside use the kernels of this name."""
    _native.use_section(name)
    try:
        yield
    finally:
        _native.use_section(BEST)


def as_table(x: np.ndarray) -> np.ndarray:
    """float32 [T, W] as the bytes of an F32 embedding table: uint8 [T, 4 W]."""
    return np.ascontiguousarray(x, np.float32).view(np.uint8)


def compute(
    build: Callable[..., int],
    *inputs: np.ndarray,
    kernels: str = BEST,
    positions: list[int] | None = None,
    cache: Any = None,
    threads: int = 1,
) -> np.ndarray:
    """What `build(ops, *values)` gives for inputs [T, W] of one sequence's tokens: [T, width].

    The inputs come in as rows of embedding tables. Cache pages are blocks 0, 1, … in order.
    """
    tokens = np.arange(len(inputs[0]), dtype=np.int32)
    with section(kernels):
        program = _native.Program(_native.Threads(threads))
    values = [program.embed(as_table(x), 0, x.shape[1]) for x in inputs]
    ops = NativeOps(program, cache or SimpleNamespace())
    program.finish(build(ops, *values))
    places = tokens if positions is None else np.array(positions, np.int32)
    pages = np.arange(int(places.max()) // 64 + 1, dtype=np.int32)[None]
    return program.run(tokens, places, np.zeros_like(tokens), pages, NO_ROWS)


class NativeModel:
    """A model with its cache, compiled with the kernels of one section."""

    def __init__(
        self,
        model: Model,
        kernels: str = BEST,
        threads: int = 1,
        cache_type: Any = "f16",
        positions: int = 1024,
    ) -> None:
        self.cache = KVCache.for_model(model.config, positions, cache_type)
        with section(kernels):
            self.run = compile_native(model, self.cache, _native.Threads(threads))

    def compute(self, *parts: tuple[Sequence, list[int]]) -> np.ndarray:
        """Logits of every token of the parts, in their order: [T, V]."""
        return self.run(build_batch(list(parts), every_row=True))

    def whole(self, tokens: list[int]) -> np.ndarray:
        """Logits [T, V] of one fresh sequence computed at once."""
        sequence = Sequence(self.cache)
        try:
            return self.compute((sequence, tokens))
        finally:
            sequence.release()
