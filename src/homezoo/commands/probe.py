"""Run as a process of its own by `homezoo fit`: what every run takes beside the model's own.

    python -m homezoo.commands.probe

Answers with the bundled model, then prints the memory that its numbers do not explain, and the time
between its passes: as it is for a small model, and with the processor's caches emptied by each pass
as a large one does, when choosing a token takes several times as long.
"""

import importlib
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from homezoo.errors import HomezooError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.batch import Batch
from homezoo.models.footprint import footprint
from homezoo.ops.memory import peak_memory
from homezoo.run.bundled import STORIES
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions
from homezoo.zoo.measured import CACHE_BYTES, Overheads

TOKENS = 150  # of an answer: a twentieth of a second, and half a second with emptied caches
CONTEXT = 256


def probe(clock: Callable[[], float] = time.perf_counter) -> Overheads:
    """Measures this process, which must be new; HomezooError if its memory is not told."""
    importlib.import_module("homezoo.commands.run")  # what a user's run imports is in the figure
    with Model.open(STORIES, threads=1, context=CONTEXT) as model:
        _between_passes(model, clock, lambda: None)  # computes the prompt and warms up
        warm = _between_passes(model, clock, lambda: None)
        peak = peak_memory()
        if peak is None:
            raise HomezooError("this system does not tell the memory of a process")
        other = np.ones(2 * CACHE_BYTES, np.uint8)
        cold = _between_passes(model, clock, other.max)
    with GGUFFile.open(STORIES) as file:
        known = footprint(file, file.file_bytes, CONTEXT, program=0)
    return Overheads(peak - known.total, warm, max(warm, cold))


def _between_passes(
    model: Model, clock: Callable[[], float], after_each: Callable[[], object]
) -> float:
    """Seconds from the end of a pass to the next one's beginning, of an answer's tokens."""
    backend = model.engine._backend  # which computes the passes and nothing else
    compute = backend.logits
    gaps: list[float] = []
    ended: list[float] = []

    def timed(batch: Batch) -> np.ndarray:
        gaps.extend(clock() - end for end in ended)
        logits = compute(batch)
        after_each()
        ended[:] = [clock()]
        return logits

    backend.logits = timed
    try:
        model.generate(
            "Once upon a time",
            GenerationOptions(temperature=0.0, max_tokens=TOKENS, ignore_end=True, speculate="off"),
        )
    finally:
        backend.logits = compute
    return statistics.median(gaps)


if __name__ == "__main__":
    print(json.dumps(asdict(probe())))
