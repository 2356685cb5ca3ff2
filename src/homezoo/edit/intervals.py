"""Figures that edits are graded by: rates with intervals, entropies, distances."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from homezoo.ops.log_softmax import log_softmax

BOOTSTRAP = 2000  # draws
Z95 = 1.959963984540054  # of the normal distribution: 95 % lie within


@dataclass(frozen=True)
class Rate:
    """So many of so many, with Wilson's 95 % interval (Wilson 1927)."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """0 to 1; not a number when nothing was counted."""
        return self.hits / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high end; 0 to 1 when nothing was counted."""
        if not self.total:
            return 0.0, 1.0
        share, z2 = self.value, Z95**2 / self.total
        middle = (share + z2 / 2) / (1 + z2)
        half = Z95 * math.sqrt(share * (1 - share) / self.total + z2 / (4 * self.total)) / (1 + z2)
        return max(0.0, middle - half), min(1.0, middle + half)

    def __add__(self, other: "Rate") -> "Rate":
        return Rate(self.hits + other.hits, self.total + other.total)

    def __str__(self) -> str:
        if not self.total:
            return "nothing to count"
        low, high = self.interval
        return f"{self.value:.1%} ({self.hits} of {self.total}; {low:.1%} to {high:.1%})"


def rate(outcomes: Sequence[bool] | np.ndarray) -> Rate:
    """Of outcomes that are true or false."""
    return Rate(int(np.count_nonzero(np.asarray(outcomes, bool))), len(outcomes))


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval by the bootstrap (Efron 1979), always the same draws."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.1f} ({self.low:.1f} to {self.high:.1f})"


def mean_of(values: Sequence[float]) -> Mean:
    """Of numbers; not a number when there is none."""
    if not values:
        return Mean(math.nan, math.nan, math.nan, 0)
    found = np.asarray(values, np.float64)
    draws = np.random.default_rng(0).integers(0, len(found), (BOOTSTRAP, len(found)))
    low, high = np.quantile(found[draws].mean(axis=1), (0.025, 0.975))
    return Mean(float(found.mean()), float(low), float(high), len(found))


def harmonic_mean(values: Sequence[float]) -> float:
    """Of rates; 0 as soon as one is 0 (the score S of Meng et al. 2022)."""
    if not values or min(values) <= 0:
        return 0.0
    return len(values) / sum(1 / value for value in values)


def ngram_entropy(tokens: Sequence[int] | Sequence[str], size: int) -> float:
    """Bits of the distribution of a text's n-grams; 0 for a text shorter than one."""
    counts = Counter(zip(*(tokens[start:] for start in range(size)), strict=False))
    total = sum(counts.values())
    return -sum(n / total * math.log2(n / total) for n in counts.values()) if total else 0.0


def fluency(tokens: Sequence[int] | Sequence[str]) -> float:
    """100 (1/3 H2 + 2/3 H3): it falls when a text repeats itself (Meng et al. 2022a, section 4)."""
    return 100 * (ngram_entropy(tokens, 2) / 3 + ngram_entropy(tokens, 3) * 2 / 3)


def consistency(text: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """100 times the cosine of TF-IDF vectors of a text and of all reference texts as one.

    Inverse document frequencies are those of the references and the text; 0 without words.
    """
    documents = [Counter(text), *map(Counter, references)]
    present = Counter(word for document in documents for word in document)
    weight = {w: math.log((1 + len(documents)) / (1 + n)) + 1 for w, n in present.items()}
    ours = {w: n * weight[w] for w, n in documents[0].items()}
    whole: Counter[str] = sum(documents[1:], Counter())
    theirs = {w: n * weight[w] for w, n in whole.items()}
    length = math.hypot(*ours.values()) * math.hypot(*theirs.values())
    return 100 * sum(ours[w] * theirs.get(w, 0.0) for w in ours) / length if length else 0.0


def divergence(base: np.ndarray, other: np.ndarray) -> np.ndarray:
    """KL(base ‖ other) in nats of each row of logits [R, V]: float64 [R]."""
    first, second = log_softmax(base), log_softmax(other)
    found: np.ndarray = (np.exp(first) * (first - second)).sum(axis=-1)
    return found
