"""Measures what busy neighbours cost: decode and prefill alone, and beside one per core.

    python bench/neighbours.py MODEL.gguf [--threads 2] [--rounds 5]

A neighbour is a process that computes without a pause. A fair scheduler leaves half of each core,
so 2.0 times the time is what sharing itself costs; beyond that, threads wait for each other.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from homezoo import Model
from homezoo.ops.cores import available_cores

LIMIT = 2.5  # the most that the neighbours may slow decode down
SETTLE = 0.3  # seconds until the processes compute and the scheduler has spread them


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many busy processes, ended afterwards."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(SETTLE)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(model: Model, seed: int, prompt: int, generate: int) -> tuple[float, float]:
    """Seconds of a prompt of random tokens, and of its answer, each token a pass of its own."""
    random = np.random.default_rng(seed)
    tokens = random.integers(3, model.config.vocab_size, prompt).tolist()
    timings = model.generate(
        tokens, temperature=0.0, max_tokens=generate, ignore_end=True, speculate="off"
    ).timings
    return timings.prefill_seconds, timings.decode_seconds


def main() -> None:
    """Alternates rounds alone and with neighbours; medians. Exit status 1 beyond the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--generate", type=int, default=64)
    asked = parser.parse_args()
    cores = available_cores()
    times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    context = asked.prompt + asked.generate
    with Model.open(asked.model, threads=asked.threads, context=context) as model:
        measure(model, 0, asked.prompt, asked.generate)  # the file comes into memory
        for seed in range(1, 2 * asked.rounds + 1):
            beside = seed % 2 == 0
            with neighbours(cores if beside else 0):
                times[beside].append(measure(model, seed, asked.prompt, asked.generate))
    ratios = {}
    for place, name in enumerate(("prefill", "decode")):
        alone, beside_them = (
            statistics.median(pair[place] for pair in times[beside]) for beside in (False, True)
        )
        ratios[name] = beside_them / alone
        print(f"{name:8} alone {alone:.3f} s  with {cores} neighbours {beside_them:.3f} s", end="")
        print(f"  slow-down {ratios[name]:.2f}")
    print(json.dumps({"cores": cores, "threads": asked.threads or cores, **ratios}))
    if ratios["decode"] > LIMIT:
        raise SystemExit(f"decode is slowed down {ratios['decode']:.2f} times; at most {LIMIT}")


if __name__ == "__main__":
    main()
