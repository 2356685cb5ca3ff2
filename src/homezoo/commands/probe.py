"""Run as a process of its own by `homezoo fit`: what every run takes beside the model's own.

    python -m homezoo.commands.probe

Answers with the bundled model, then prints the memory and the time that its numbers do not explain.
"""

import importlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict

from homezoo.errors import HomezooError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.footprint import footprint
from homezoo.ops.memory import peak_memory
from homezoo.run.bundled import STORIES
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions
from homezoo.zoo.measured import Overheads
from homezoo.zoo.rehearse import rehearse

TOKENS = 200  # of the answer: a twentieth of a second
CONTEXT = 256


def probe(clock: Callable[[], float] = time.perf_counter) -> Overheads:
    """Measures this process, which must be new; HomezooError if its memory is not told."""
    importlib.import_module("homezoo.commands.run")  # what a user's run imports is in the figure
    with Model.open(STORIES, threads=1, context=CONTEXT) as model:
        options = GenerationOptions(
            temperature=0.0, max_tokens=TOKENS, ignore_end=True, speculate="off"
        )
        # the first computes the prompt and warms up: after it, every pass is one of the answer
        model.generate("Once upon a time", options)
        start = clock()
        model.generate("Once upon a time", options)
        seconds = (clock() - start) / TOKENS
    peak = peak_memory()
    if peak is None:
        raise HomezooError("this system does not tell the memory of a process")
    with GGUFFile.open(STORIES) as file:
        known = footprint(file, file.file_bytes, CONTEXT, program=0)
        passes = rehearse(file, CONTEXT, threads=1, clock=clock).decode_seconds(TOKENS // 2)
    return Overheads(peak - known.total, max(0.0, seconds - passes))


if __name__ == "__main__":
    print(json.dumps(asdict(probe())))
