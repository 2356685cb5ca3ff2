"""Measures prompt lookup where an answer quotes a text of the prompt: on against off.

    python bench/lookup.py [MODEL.gguf] [--rounds 5] [--changed 0.05]

Two measures, said as what they are. "Own text": the trained small model that comes with homezoo
goes on with a story, greedily; it repeats itself, and what is guessed and found is all its own.
"Dictated": models with random weights quote nothing, so in MODEL the sampler is told the tokens of
a passage that stands in the prompt, a share of them (--changed) replaced by others. Matching,
guesses, passes, checks and the decision whether to guess are the real ones; only the choice is not
the model's. Answers with lookup on and off are checked to be the same tokens.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import numpy as np

import homezoo
from homezoo import Model
from homezoo.run.answer import Answer
from homezoo.run.sampling import Sampler

MODES = ("off", "lookup")
STORIES = Path(homezoo.__file__).parent / "bundled" / "stories260K-f32.gguf"
STORY = "Once upon a time"


@contextmanager
def dictated(start: int, passage: list[int]) -> Iterator[None]:
    """While it is held, answers to prompts of `start` tokens are the passage."""
    choose = Sampler.choose

    def told(self: Sampler, logits: np.ndarray, history: list[int], allowed: None = None) -> int:
        choose(self, logits, history, allowed)  # what it costs is part of the time
        return passage[len(history) - start]

    with mock.patch.object(Sampler, "choose", told):
        yield


def compare(model: Model, cases: list[tuple[list[int], list[int]]], most: int) -> dict[str, float]:
    """Prompts, each with the passage that is dictated or none, with lookup off and on in turn."""
    speeds: dict[str, list[float]] = {mode: [] for mode in MODES}
    guessed = right = 0
    for place, (prompt, passage) in enumerate(cases):
        answers: dict[str, Answer] = {}
        for mode in MODES if place % 2 else MODES[::-1]:
            with dictated(len(prompt), passage) if passage else nullcontext():
                answers[mode] = model.generate(
                    prompt, temperature=0.0, max_tokens=most, ignore_end=True, speculate=mode
                )
            speeds[mode].append(answers[mode].timings.decode_tokens_per_second)
        if answers["off"].tokens != answers["lookup"].tokens:
            raise SystemExit("the answers differ; speculation is broken")
        guessed += answers["lookup"].timings.guessed_tokens
        right += answers["lookup"].timings.right_guesses
    pairs = zip(speeds["off"], speeds["lookup"], strict=True)
    return {mode: statistics.median(values) for mode, values in speeds.items()} | {
        "ratio": statistics.median(on / off for off, on in pairs),
        "guessed": guessed,
        "right": right,
    }


def quoting(vocab_size: int, asked: argparse.Namespace, seed: int) -> tuple[list[int], list[int]]:
    """A prompt of random tokens, and its middle with a share of the tokens replaced."""
    random = np.random.default_rng(seed)
    prompt = random.integers(3, vocab_size, asked.prompt)
    start = (asked.prompt - asked.generate) // 2
    passage = prompt[start : start + asked.generate].copy()
    other = random.random(asked.generate) < asked.changed
    passage[other] = random.integers(3, vocab_size, int(other.sum()))
    return prompt.tolist(), passage.tolist()


def main() -> None:
    """Prints tokens per second off and on, their ratio, and how many guesses were right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--changed", type=float, default=0.05)
    asked = parser.parse_args()
    found = {}
    with Model.open(STORIES, threads=asked.threads) as model:
        prompt = model.encode_prompt(STORY)
        found["own text"] = compare(model, [(prompt, [])] * asked.rounds, 300)
    if asked.model:
        context = asked.prompt + asked.generate
        with Model.open(asked.model, threads=asked.threads, context=context) as model:
            vocab_size = model.config.vocab_size
            cases = [quoting(vocab_size, asked, seed) for seed in range(asked.rounds)]
            found["dictated"] = compare(model, cases, asked.generate)
    for name, result in found.items():
        print(f"{name:9}", "  ".join(f"{key} {value:.5g}" for key, value in result.items()))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
