"""How good a ranking is: recall, reciprocal rank and discounted gain against what is right.

Definitions as in Manning, Raghavan and Schütze, Introduction to Information Retrieval (2008), 8.4;
relevance is yes or no.
"""

from collections.abc import Hashable, Sequence, Set
from math import log2


def recall_at(ranking: Sequence[Hashable], right: Set[Hashable], k: int) -> float:
    """The share of the right ones among the first k; 1 where nothing is right."""
    return len(right & set(ranking[:k])) / len(right) if right else 1.0


def reciprocal_rank(ranking: Sequence[Hashable], right: Set[Hashable]) -> float:
    """1 / the rank of the first right one; 0 when there is none."""
    return next((1 / rank for rank, found in enumerate(ranking, 1) if found in right), 0.0)


def discounted_gain(ranking: Sequence[Hashable], right: Set[Hashable], k: int) -> float:
    """nDCG at k: the sum of 1 / log2(rank + 1) over the right ones, over the best possible sum."""
    gain = sum(1 / log2(rank + 1) for rank, found in enumerate(ranking[:k], 1) if found in right)
    best = sum(1 / log2(rank + 1) for rank in range(1, min(k, len(right)) + 1))
    return gain / best if best else 1.0
