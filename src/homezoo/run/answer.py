"""What a generation gives: the text, the tokens, why it stopped, what it cost."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

# end: the model ended its answer, or a constraint was completed. stop: a stop text came.
# length: max_tokens were generated. context: it is full. cancelled: by the caller or Ctrl-C.
StopReason = Literal["end", "stop", "length", "context", "cancelled"]


@dataclass(frozen=True)
class TokenLogprob:
    """Natural-logarithm probabilities at one place, of the model's own distribution: before bias,
    penalties, constraint, filters and temperature."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]  # the likeliest ids with theirs, likeliest first


@dataclass(frozen=True)
class Timings:
    """Where the seconds went. The first token counts as prefill: it needs no pass of its own."""

    prefill_tokens: int  # of the prompt, without what the cache already held
    prefill_seconds: float
    decode_tokens: int  # chosen after the first; the one that ended the answer counts
    decode_seconds: float
    guessed_tokens: int = 0  # by speculation, and checked in the passes of other tokens
    right_guesses: int = 0  # of those, tokens of the answer that needed no pass of their own

    @property
    def prefill_tokens_per_second(self) -> float:
        """0 when nothing was computed."""
        return self.prefill_tokens / self.prefill_seconds if self.prefill_seconds else 0.0

    @property
    def decode_tokens_per_second(self) -> float:
        """0 when nothing was computed."""
        return self.decode_tokens / self.decode_seconds if self.decode_seconds else 0.0


@dataclass(frozen=True)
class Answer:
    """A finished generation."""

    text: str  # without the stop text and without what came after it
    tokens: tuple[int, ...]  # as generated, without the one that ended the answer
    stop_reason: StopReason
    prompt_tokens: int
    cached_tokens: int  # of the prompt, whose keys and values were already computed
    seed: int  # gives this answer again
    timings: Timings
    logprobs: tuple[TokenLogprob, ...] | None = None  # one for each of `tokens`, if asked for


def token_logprob(logits: np.ndarray, token: int, top: int) -> TokenLogprob:
    """Log-probabilities of a chosen token and of the `top` likeliest, from logits float32 [V]."""
    highest = logits.max()
    total = np.exp(logits - highest).sum(dtype=np.float64)
    offset = float(highest) + float(np.log(total))
    count = min(top, len(logits))
    edge = np.partition(logits, len(logits) - count)[len(logits) - count] if count else np.inf
    likely = np.flatnonzero(logits >= edge)
    likely = likely[np.argsort(-logits[likely], kind="stable")][:count]
    return TokenLogprob(
        token=token,
        logprob=float(logits[token]) - offset,
        top=tuple((int(other), float(logits[other]) - offset) for other in likely),
    )
