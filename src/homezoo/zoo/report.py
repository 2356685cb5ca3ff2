"""What quantising did to a model: divergence from the source and perplexity on a text."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from homezoo.ops.log_softmax import log_softmax

# From the tokens of a window to logits after each, float32 [some, V] at a time.
Logits = Callable[[list[int]], Iterable[np.ndarray]]


@dataclass(frozen=True)
class Quality:
    """Two models on one text. Natural logarithms; every position of every window counts."""

    tokens: int
    mean_kl: float  # KL(source ‖ quantised), nats per token
    worst_kl: float  # that only one position in a hundred exceeds
    same_top: float  # share of positions whose most likely token is the same
    source_perplexity: float
    perplexity: float


def measure(source: Logits, quantised: Logits, windows: Iterable[list[int]]) -> Quality:
    """Reads the windows with both models."""
    divergences, same, losses, others = [], [], [], []
    for tokens in windows:
        first = log_softmax(np.concatenate([part.copy() for part in source(tokens)]))
        second = log_softmax(np.concatenate([part.copy() for part in quantised(tokens)]))
        rows, targets = np.arange(len(tokens) - 1), np.asarray(tokens[1:])
        first, second = first[:-1], second[:-1]  # [W - 1, V]: each predicts a token that is known
        divergences.append((np.exp(first) * (first - second)).sum(axis=1))
        same.append(first.argmax(axis=1) == second.argmax(axis=1))
        losses.append(-first[rows, targets])
        others.append(-second[rows, targets])
    kl = np.concatenate(divergences)
    return Quality(
        tokens=len(kl),
        mean_kl=float(kl.mean()),
        worst_kl=float(np.quantile(kl, 0.99)),
        same_top=float(np.concatenate(same).mean()),
        source_perplexity=float(np.exp(np.concatenate(losses).mean())),
        perplexity=float(np.exp(np.concatenate(others).mean())),
    )
