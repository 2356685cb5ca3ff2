"""What peers.py measures: for each, how both sides are set up and what a sample of one side is."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from peer_environment import Peer
from worker import Worker, our_worker, seconds_to_first_token

from homezoo.formats.gguf_read import GGUFFile

# 32 tokens with LLaMA's vocabulary
PROMPT = (
    "Once upon a time there was an old lighthouse keeper who lived alone on a small island and "
    "wrote a letter to the sea every single evening until"
)
PROMPT_TOKENS = 512
SHORT = 16  # tokens of context at which decoding is measured
STEPS = 48  # tokens of one decode sample
LONG, LONG_STEPS = 4096, 24
TOGETHER, TOGETHER_STEPS = 8, 24
MEMORY_CONTEXT = 2048

Sample = Callable[[], float]
Samples = dict[str, Sample]  # side to what takes its next sample


@dataclass(frozen=True)
class Setting:
    """What a measure needs to know."""

    path: Path
    threads: int
    peer: Peer
    pairs: int


@dataclass(frozen=True)
class Measure:
    """One line of the table for each model."""

    name: str
    unit: str
    prepare: Callable[[Setting, ExitStack], Samples]
    only: tuple[str, ...] = ()  # parts of file names it is worth measuring on; all when empty
    best: str = "more"  # whether more or less of the unit is better
    warm_up: bool = True  # one sample of each side that does not count
    by_memory: bool = False  # what bounds it: what memory gives is measured after each pair


def tokens_of(path: Path, count: int, seed: int) -> list[int]:
    """Random ids of the model's vocabulary, none of LLaMA's control tokens 0 to 2."""
    with GGUFFile.open(path) as file:
        size = file.tensors["token_embd.weight"].shape[0]
    return [int(token) for token in np.random.default_rng(seed).integers(3, size, count)]


def opened(
    setting: Setting, stack: ExitStack, context: int, sequences: int = 1
) -> dict[str, Worker]:
    """A new process of each side with the model open."""
    sides = {
        "ours": stack.enter_context(our_worker()),
        "theirs": stack.enter_context(setting.peer.worker()),
    }
    for worker in sides.values():
        worker.ask(
            "open",
            path=str(setting.path),
            threads=setting.threads,
            context=context,
            sequences=sequences,
        )
    return sides


def prefill(setting: Setting, stack: ExitStack) -> Samples:
    tokens = tokens_of(setting.path, PROMPT_TOKENS, 0)
    sides = opened(setting, stack, PROMPT_TOKENS + 64)
    for worker in sides.values():
        worker.ask("prefill", tokens=tokens[:64])  # pages in the weights
    return {
        side: lambda worker=worker: len(tokens) / worker.ask("prefill", tokens=tokens)
        for side, worker in sides.items()
    }


def decode(setting: Setting, stack: ExitStack) -> Samples:
    tokens = tokens_of(setting.path, SHORT + STEPS, 1)
    steps = [[token] for token in tokens[SHORT:]]

    def sample(worker: Worker) -> float:
        worker.ask("prefill", tokens=tokens[:SHORT])
        return STEPS / worker.ask("decode", steps=steps)

    sides = opened(setting, stack, SHORT + STEPS + 64)
    return {side: lambda worker=worker: sample(worker) for side, worker in sides.items()}


def decode_far(setting: Setting, stack: ExitStack) -> Samples:
    """Decoding goes on from LONG tokens, so that both sides are as far in each pair."""
    tokens = tokens_of(setting.path, LONG, 2)
    steps = [[token] for token in tokens[:LONG_STEPS]]
    sides = opened(setting, stack, LONG + LONG_STEPS * (setting.pairs + 1) + 64)
    for worker in sides.values():
        worker.ask("prefill", tokens=tokens)
    return {
        side: lambda worker=worker: LONG_STEPS / worker.ask("decode", steps=steps)
        for side, worker in sides.items()
    }


def together(setting: Setting, stack: ExitStack) -> Samples:
    tokens = tokens_of(setting.path, TOGETHER * (SHORT + TOGETHER_STEPS), 3)
    prompts = [tokens[i * SHORT : (i + 1) * SHORT] for i in range(TOGETHER)]
    rest = tokens[TOGETHER * SHORT :]
    steps = [rest[i : i + TOGETHER] for i in range(0, len(rest), TOGETHER)]

    def sample(worker: Worker) -> float:
        for sequence, prompt in enumerate(prompts):
            worker.ask("prefill", tokens=prompt, sequence=sequence)
        return len(rest) / worker.ask("decode", steps=steps)

    sides = opened(setting, stack, 256, TOGETHER)
    return {side: lambda worker=worker: sample(worker) for side, worker in sides.items()}


def first_token(setting: Setting, stack: ExitStack) -> Samples:
    sides = {
        "ours": (sys.executable, "homezoo_worker.py"),
        "theirs": (setting.peer.python, "llama_worker.py"),
    }
    return {
        side: lambda start=start: seconds_to_first_token(
            *start, setting.path, setting.threads, PROMPT
        )
        for side, start in sides.items()
    }


def memory(setting: Setting, stack: ExitStack) -> Samples:
    """Each sample is a process of its own: memory once given is seldom given back."""
    tokens = tokens_of(setting.path, MEMORY_CONTEXT, 4)

    def sample(start: Callable[[], Worker]) -> float:
        with start() as worker:
            worker.ask(
                "open", path=str(setting.path), threads=setting.threads, context=MEMORY_CONTEXT
            )
            worker.ask("prefill", tokens=tokens)
            return float(worker.ask("private_bytes")) / 1e6

    return {"ours": lambda: sample(our_worker), "theirs": lambda: sample(setting.peer.worker)}


MEASURES = (
    Measure("prefill", "tokens/s", prefill),
    Measure("decode", "tokens/s", decode, by_memory=True),
    Measure("decode-4096", "tokens/s", decode_far, only=("1.1B",)),
    Measure("together-8", "tokens/s", together, only=("1.1B-Q4_0",)),
    Measure("first-token", "s", first_token, only=("1.1B",), best="less"),
    Measure("memory", "MB", memory, only=("7B-Q4_0",), best="less", warm_up=False),
)
