"""A small draft model beside the model: says quickly what the model may say next."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.errors import ContextError, OptionError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.cache import Sequence
from homezoo.models.load import load_model
from homezoo.run.engine import Engine

TOKENS_KEY = "tokenizer.ggml.tokens"
Choose = Callable[[np.ndarray, list[int]], int]  # logits [V] and the text before, to a token


class Draft:
    """An open draft model with an engine of its own. Close it."""

    def __init__(self, gguf: GGUFFile, engine: Engine) -> None:
        """Use `open`."""
        self._gguf = gguf
        self.engine = engine

    @classmethod
    def open(
        cls,
        path: str | Path,
        metadata: Mapping[str, Any],
        of: Engine,
        threads: int | None,
    ) -> "Draft":
        """Opens a draft for the model with this metadata and engine, with as much context.

        Raises OptionError when the vocabularies differ, and what opening any model raises.
        """
        gguf = GGUFFile.open(path)
        try:
            check_vocabulary(path, gguf.metadata, metadata)
            engine = Engine(
                load_model(gguf), of.context, of.cache.type, of.backend, threads, of.parallel
            )
            if engine.vocab_size < len(gguf.metadata[TOKENS_KEY]):
                raise OptionError(
                    f"the draft {path} computes {engine.vocab_size} logits for "
                    f"{len(gguf.metadata[TOKENS_KEY])} tokens; use another draft"
                )
        except BaseException:
            gguf.close()
            raise
        return cls(gguf, engine)

    def close(self) -> None:
        """Lets go of the file."""
        self._gguf.close()


def check_vocabulary(path: str | Path, draft: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """OptionError names the first token in which a draft's vocabulary differs from the model's."""
    mine, wanted = list(draft.get(TOKENS_KEY, ())), list(model.get(TOKENS_KEY, ()))
    if len(mine) != len(wanted):
        raise OptionError(
            f"the draft {path} has {len(mine)} tokens and the model {len(wanted)}; "
            "a draft needs the model's own vocabulary"
        )
    for token, (own, other) in enumerate(zip(mine, wanted, strict=True)):
        if own != other:
            raise OptionError(
                f"token {token} is {own!r} in the draft {path} and {other!r} in the model; "
                "a draft needs the model's own vocabulary"
            )


class DraftText:
    """What the draft has computed of one text."""

    def __init__(self, engine: Engine, positions: int) -> None:
        """`positions` is how long the text may become."""
        self._engine = engine
        self._positions = positions
        self._sequence: Sequence | None = None
        self._agreed = 0  # tokens of the sequence that are known to be those of the text

    def propose(self, history: list[int], most: int, choose: Choose) -> list[int]:
        """At most `most` tokens that may follow; none while other texts hold the draft's cache.

        `choose` is the model's own sampler: at the same place it draws the same random number, so
        that draft and model agree more often than two independent draws would.
        """
        try:
            return self._propose(history, most, choose)
        except ContextError:  # guesses are optional: the answer goes on without
            self.close()
            return []

    def _propose(self, history: list[int], most: int, choose: Choose) -> list[int]:
        if self._sequence is None:
            self._sequence = self._engine.begin(history, self._positions)
            if self._sequence is None:
                return []
            self._agreed = len(self._sequence)
        sequence = self._sequence
        while (
            self._agreed < min(len(sequence), len(history) - 1)
            and sequence.tokens[self._agreed] == history[self._agreed]
        ):
            self._agreed += 1
        sequence.truncate(self._agreed)
        text = list(history)
        pending = history[self._agreed :]
        for _ in range(min(most, self._positions - len(history))):
            logits = self._compute(sequence, pending)
            pending = [choose(logits, text)]
            text += pending
        self._agreed = min(len(history), len(sequence))
        return text[len(history) :]

    def _compute(self, sequence: Sequence, tokens: list[int]) -> np.ndarray:
        for start in range(0, len(tokens), self._engine.chunk):
            part = tokens[start : start + self._engine.chunk]
            logits = self._engine.compute([(sequence, part)])  # [1, V]
        return np.asarray(logits[0])

    def close(self) -> None:
        """Gives the sequence back; what was computed may serve a later text."""
        if self._sequence is not None:
            self._engine.end(self._sequence)
            self._sequence = None
