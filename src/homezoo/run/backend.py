"""The backends by name: each turns a model and a cache into a callable on batches."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from homezoo.errors import OptionError
from homezoo.models.batch import Batch
from homezoo.models.cache import KVCache
from homezoo.models.load import Model, States
from homezoo.ops.cores import available_cores

# native: C++ kernels. reference: NumPy, slow, with the kernels' own sums. exact: in exact floats.
BackendName = Literal["native", "reference", "exact"]
BACKENDS: tuple[str, ...] = ("native", "reference", "exact")
MOST_THREADS = 256  # the native pool's own limit
Compute = Callable[[Batch], np.ndarray]


class Backend:
    """A model compiled for one cache: for logits, and when first asked for last states."""

    def __init__(self, name: str, model: Model, cache: KVCache, threads: int | None) -> None:
        """OptionError for an unknown name or number of threads."""
        if name not in BACKENDS:
            raise OptionError(f"backend is {name!r}; expected one of {', '.join(BACKENDS)}")
        if threads is not None and not 1 <= threads <= MOST_THREADS:
            raise OptionError(f"threads is {threads}; expected 1 to {MOST_THREADS}")
        self._name = name
        self._model = model
        self._cache = cache
        self._pool: Any = _thread_pool(threads) if name == "native" else None
        self.compile()

    def compile(self) -> None:
        """Sees the deltas that are attached now."""
        model = self._model
        # float32 [R, V]; an encoder's error comes when logits are asked for
        self.logits: Compute = self._compile(model) if model.config.causal else self._refuse
        self._states: Compute | None = None

    def states(self, batch: Batch) -> np.ndarray:
        """Final-normed states of the batch's rows, float32 [R, D]."""
        if self._states is None:
            self._states = self._compile(States(self._model))
        return self._states(batch)

    def _refuse(self, batch: Batch) -> np.ndarray:
        return self._compile(self._model)(batch)  # the model's own error

    def _compile(self, model: Model | States) -> Compute:
        if self._name == "native":
            from homezoo.ops.native import compile_native

            return compile_native(model, self._cache, self._pool)
        from homezoo.ops.reference import compile_reference

        return compile_reference(model, self._cache, exact=self._name == "exact")


def _thread_pool(threads: int | None) -> Any:
    from homezoo.ops.native import make_threads

    return make_threads(threads or default_threads())


def default_threads() -> int:
    """One for each core that this process may use, as far as the native pool goes."""
    return min(available_cores(), MOST_THREADS)
