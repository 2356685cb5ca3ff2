"""Asks a model, with or without an adapter: which answers it gives, and how likely others are.

Greedy answers are found without generating: a greedy continuation is the object exactly when each
of its tokens is the likeliest after those before it. So many questions fit one pass.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass

import numpy as np

from homezoo import _native
from homezoo.edit.reader import Reader
from homezoo.models.batch import build_batch
from homezoo.models.cache import KVCache, Sequence
from homezoo.models.decoder import Decoder
from homezoo.models.linear import Delta
from homezoo.models.load import load_model
from homezoo.ops.cores import available_cores
from homezoo.ops.log_softmax import log_softmax
from homezoo.ops.native import compile_native
from homezoo.ops.protocol import BLOCK_POSITIONS

PASS_TOKENS = 2048  # of one pass
PASS_LOGITS = 1 << 24  # floats of logits of one pass: 64 MiB
NAME = "edits"  # of the deltas
Pair = tuple[np.ndarray, np.ndarray]  # a [r, K], b [D, r]


@dataclass(frozen=True)
class Question:
    """A prompt, and the answers that are asked about."""

    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Reply:
    """What a model makes of a question, for each of its answers."""

    exact: tuple[bool, ...]  # whether the greedy answer is this one, and no longer word
    likely: tuple[float, ...]  # mean log-probability of its tokens, nats
    tokens: tuple[int, ...]  # how many are the likeliest after the right ones before them

    @property
    def right(self) -> bool:
        """Whether the greedy answer is any of them."""
        return any(self.exact)


class Asker:
    """A model compiled for questions."""

    def __init__(self, reader: Reader, deltas: Mapping[str, Pair] | None = None) -> None:
        """`deltas` by the name of their weight, without `.weight`, to be added as they are."""
        self.reader = reader
        self.model = load_model(reader.file)
        assert isinstance(self.model, Decoder)
        linears = self.model.linears()
        for name, (a, b) in (deltas or {}).items():
            rows, columns = (np.ascontiguousarray(x, np.float32) for x in (a, b))
            linears[name].attach(Delta(rows, columns, 1.0, NAME))
        self._threads = _native.Threads(reader.threads or available_cores())
        self._cache: KVCache | None = None

    def ask(self, questions: Items[Question]) -> list[Reply]:
        """Replies in order."""
        pairs = [(q.prompt, answer) for q in questions for answer in q.answers]
        outcomes: list[tuple[bool, float, int]] = []
        for group in self._groups(pairs):
            sequences = [[*prompt, *answer] for prompt, answer in group]
            rows = [len(answer) + 1 for _, answer in group]
            logits = self._compute(sequences, rows)
            start = 0
            for (_, answer), count in zip(group, rows, strict=True):
                outcomes.append(self._outcome(logits[start : start + count], answer))
                start += count
        replies, at = [], 0
        for question in questions:
            part = outcomes[at : at + len(question.answers)]
            at += len(part)
            replies.append(Reply(*zip(*part, strict=True)) if part else Reply((), (), ()))
        return replies

    def logits(self, tokens: Items[int]) -> np.ndarray:
        """After every token: float32 [T, V]."""
        return self._compute([list(tokens)], [len(tokens)])

    def continue_greedily(self, prompts: Items[Items[int]], count: int) -> list[list[int]]:
        """The `count` likeliest tokens after each prompt, one after another; fewer after an end.

        All prompts go on together, so that each step reads the weights once.
        """
        cache = self._room([len(prompt) + count for prompt in prompts])
        found: list[list[int]] = [[] for _ in prompts]
        sequences = [Sequence(cache) for _ in prompts]
        new = {number: list(prompt) for number, prompt in enumerate(prompts)}
        for _ in range(count):
            if not new:
                break
            numbers = list(new)
            rows = self._run([(sequences[n], new[n]) for n in numbers], [1] * len(numbers))
            new = {}
            for number, id in zip(numbers, rows.argmax(axis=1), strict=True):
                if int(id) not in self.reader.tokenizer.end_ids:
                    found[number].append(int(id))
                    new[number] = [int(id)]
        for sequence in sequences:
            sequence.release()
        return found

    def _outcome(self, logits: np.ndarray, answer: tuple[int, ...]) -> tuple[bool, float, int]:
        """logits [n + 1, V] before each of n tokens and after the last."""
        best = logits.argmax(axis=1)
        right = best[:-1] == np.array(answer)
        said = log_softmax(logits[:-1])[np.arange(len(answer)), list(answer)]
        ends = not self.reader.begins_inside_word(int(best[-1]))
        return bool(right.all()) and ends, float(said.mean()), int(right.sum())

    def _groups(
        self, pairs: Items[tuple[tuple[int, ...], tuple[int, ...]]]
    ) -> list[list[tuple[tuple[int, ...], tuple[int, ...]]]]:
        most_rows = max(1, PASS_LOGITS // self.model.config.vocab_size)
        groups: list[list[tuple[tuple[int, ...], tuple[int, ...]]]] = [[]]
        tokens = rows = 0
        for prompt, answer in pairs:
            size = len(prompt) + len(answer)
            if groups[-1] and (tokens + size > PASS_TOKENS or rows + len(answer) + 1 > most_rows):
                groups.append([])
                tokens = rows = 0
            groups[-1].append((prompt, answer))
            tokens, rows = tokens + size, rows + len(answer) + 1
        return [group for group in groups if group]

    def _compute(self, sequences: Items[list[int]], rows: list[int]) -> np.ndarray:
        """Logits of the last rows of fresh sequences: float32 [sum of rows, V]."""
        cache = self._room([len(tokens) for tokens in sequences])
        parts = [(Sequence(cache), tokens) for tokens in sequences]
        logits = self._run(parts, rows)
        for sequence, _ in parts:
            sequence.release()
        return logits

    def _run(self, parts: list[tuple[Sequence, list[int]]], rows: list[int]) -> np.ndarray:
        return np.array(self._forward(build_batch(parts, last_rows=rows)))

    def _room(self, lengths: Items[int]) -> KVCache:
        """A cache for sequences of these lengths, and the model compiled for it."""
        blocks = sum(-(-length // BLOCK_POSITIONS) for length in lengths)
        if self._cache is None or self._cache.block_count < blocks:
            config = self.model.config
            self._cache = KVCache.for_model(config, blocks * BLOCK_POSITIONS, "f16")
            self._forward = compile_native(self.model, self._cache, self._threads)
        return self._cache
