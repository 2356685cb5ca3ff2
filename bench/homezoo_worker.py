"""Our side of a comparison: computes what worker_loop.py is asked to, with homezoo.

python bench/homezoo_worker.py                        # requests on standard input
python bench/homezoo_worker.py MODEL THREADS PROMPT   # prints one token's text and ends

The environment variable of KERNELS names a section of kernels to use, else the best of the CPU.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
from worker_loop import private_bytes, serve

from homezoo import Model, _native
from homezoo.models.cache import Sequence

KERNELS = "HOMEZOO_BENCH_KERNELS"
CHUNK = 512  # tokens of one pass through a prompt, on both sides


class Homezoo:
    """An open model and its sequences."""

    def __init__(self) -> None:
        self.model: Model | None = None
        self.sequences: list[Sequence] = []

    def open(
        self, path: str, threads: int, context: int, sequences: int = 1, cache: str = "f16"
    ) -> float:
        """Opens a model for `sequences` of `context` tokens; seconds until it can take a prompt."""
        self.close()
        start = time.perf_counter()
        self.model = Model.open(
            path,
            threads=threads,
            context=context,
            parallel=sequences,
            cache=cache,  # type: ignore[arg-type]
        )
        self.model.encode_prompt("ready?")
        seconds = time.perf_counter() - start
        self.sequences = [Sequence(self.model.engine.cache, context) for _ in range(sequences)]
        return seconds

    def close(self) -> None:
        self.sequences = []
        if self.model is not None:
            self.model.close()
            self.model = None

    def adapters(self, files: list[tuple[str, float]]) -> None:
        """Uses these adapters from now on, each with its strength, and no others."""
        assert self.model is not None
        for name in list(self.model.adapters):
            self.model.detach(name)
        for number, (file, strength) in enumerate(files):
            self.model.attach(file, strength, f"{number}")
        engine = self.model.engine
        for sequence in self.sequences:
            sequence.release()
            sequence.adapters = engine.choose_adapters(None)

    def tokenize(self, text: str) -> list[int]:
        assert self.model is not None
        return self.model.encode_prompt(text)

    def prefill(self, tokens: list[int], sequence: int = 0) -> float:
        """Begins a sequence anew with these tokens; seconds until the last one's logits."""
        self.sequences[sequence].release()
        start = time.perf_counter()
        for at in range(0, len(tokens), CHUNK):
            self._compute([(self.sequences[sequence], tokens[at : at + CHUNK])])
        return time.perf_counter() - start

    def decode(self, steps: list[list[int]]) -> float:
        """Gives each sequence one token a step; seconds for all steps."""
        start = time.perf_counter()
        for step in steps:
            self._compute([(s, [token]) for s, token in zip(self.sequences, step, strict=True)])
        return time.perf_counter() - start

    def reads(self, threads: int) -> float:
        """Bytes/s that plain reads get from memory right now."""
        return _native.limits(_native.Threads(threads), 0.2)[0]

    def greedy(self, tokens: list[int], count: int) -> list[int]:
        """The `count` likeliest tokens after these, one after another."""
        sequence = self.sequences[0]
        sequence.release()
        found, new = [], tokens
        for _ in range(count):
            new = [int(self._compute([(sequence, new)])[0].argmax())]
            found += new
        return found

    def logits(self, tokens: list[int], path: str) -> None:
        """Writes the logits after every token, float32 [T, V], to a .npy file."""
        assert self.model is not None
        np.save(path, self.model.logits(tokens))

    def _compute(self, parts: list[tuple[Sequence, list[int]]]) -> np.ndarray:
        assert self.model is not None
        return self.model.engine.compute(parts)


def first_token(path: Path, threads: int, prompt: str) -> None:
    """What a short program with the public API does."""
    with Model.open(path, threads=threads, context=512) as model:
        print(repr(model.generate(prompt, temperature=0.0, max_tokens=1).text), flush=True)


if __name__ == "__main__":
    if KERNELS in os.environ:
        _native.use_section(os.environ[KERNELS])
    if len(sys.argv) == 4:
        first_token(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    else:
        side = Homezoo()
        names = ("open", "close", "adapters", "tokenize", "prefill", "decode", "greedy", "logits",
                 "reads")  # fmt: skip
        serve({name: getattr(side, name) for name in names} | {"private_bytes": private_bytes})
