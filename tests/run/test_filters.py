"""The filters against slow, obvious ones that sort everything; ties and extremes included."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homezoo.run import filters

# Multiples of 1/4: many ties, and exact in float32. -inf is a forbidden token.
LOGITS = st.lists(
    st.one_of(st.integers(-80, 80).map(lambda n: n / 4), st.just(-math.inf)),
    min_size=1,
    max_size=40,
).filter(lambda values: max(values) > -math.inf)
SHARES = st.floats(0.01, 1.0)


def probabilities_of(values: list[float]) -> list[float]:
    powers = [math.exp(value - max(values)) for value in values]
    return [power / math.fsum(powers) for power in powers]


def ids_of(values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(values)) * 3 + 1, np.array(values, np.float32)


def fewest_of_mass(keys: list[float], probabilities: list[float], mass: float) -> tuple[int, int]:
    """How many of the smallest keys reach the mass: at least and at most, for sums that round."""
    order = sorted(range(len(keys)), key=lambda i: (keys[i], i))
    sums = [math.fsum(probabilities[i] for i in order[: n + 1]) for n in range(len(keys))]
    low = next((n for n, total in enumerate(sums) if total >= mass - 1e-6), len(keys) - 1)
    high = next((n for n, total in enumerate(sums) if total >= mass + 1e-6), len(keys) - 1)
    return low + 1, high + 1


@given(LOGITS, st.integers(1, 45))
def test_top_k_keeps_the_k_likeliest_and_the_lower_ids_of_ties(values: list[float], k: int) -> None:
    ids, logits = ids_of(values)
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))[:k]
    kept, kept_logits = filters.top_k(ids, logits, k)
    assert kept.tolist() == [int(ids[i]) for i in sorted(order)]
    assert kept_logits.tolist() == [values[i] for i in sorted(order)]


@given(LOGITS, SHARES)
def test_top_p_keeps_the_fewest_likeliest_of_that_mass(values: list[float], mass: float) -> None:
    ids, logits = ids_of(values)
    keys = [-value for value in values]
    low, high = fewest_of_mass(keys, probabilities_of(values), mass)
    kept = filters.top_p(ids, logits, mass)[0].tolist()
    assert low <= len(kept) <= high
    order = sorted(range(len(values)), key=lambda i: (keys[i], i))[: len(kept)]
    assert kept == [int(ids[i]) for i in sorted(order)]


@given(LOGITS, SHARES)
def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest(
    values: list[float], share: float
) -> None:
    ids, logits = ids_of(values)
    probabilities = probabilities_of(values)
    kept = set(filters.min_p(ids, logits, share)[0].tolist())
    for id, probability in zip(ids.tolist(), probabilities, strict=True):
        ratio = probability / max(probabilities)
        if abs(ratio - share) > 1e-5 * share:
            assert (id in kept) == (ratio > share)


@given(LOGITS, SHARES)
def test_typical_p_keeps_the_least_surprising_surprise(values: list[float], mass: float) -> None:
    ids, logits = ids_of(values)
    probabilities = probabilities_of(values)
    possible = [p for p in probabilities if p > 0]
    entropy = -math.fsum(p * math.log(p) for p in possible)
    kept = set(filters.typical_p(ids, logits, mass)[0].tolist())
    total = math.fsum(p for id, p in zip(ids.tolist(), probabilities, strict=True) if id in kept)
    assert total >= min(mass, 1.0) - 1e-5
    # nothing that was dropped is clearly nearer to the entropy than something that was kept
    distance = {
        id: abs(-math.log(p) - entropy) if p > 0 else math.inf
        for id, p in zip(ids.tolist(), probabilities, strict=True)
    }
    dropped = [distance[id] for id in ids.tolist() if id not in kept]
    farthest = max(distance[id] for id in kept)
    assert not dropped or farthest == math.inf or farthest <= min(dropped) + 1e-4


@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0])
def test_top_p_of_a_large_vocabulary_equals_a_full_sort(spread: float) -> None:
    logits = np.random.default_rng(5).normal(0, spread, 50_000).astype(np.float32)
    kept, _ = filters.top_p(np.arange(50_000), logits, 0.9)
    order = np.argsort(-logits, kind="stable")
    sums = np.cumsum(filters.softmax(logits)[order], dtype=np.float64)
    assert kept.tolist() == np.sort(order[: int(np.searchsorted(sums, 0.9)) + 1]).tolist()


@given(LOGITS)
def test_softmax_sums_to_one_and_forbids_what_is_forbidden(values: list[float]) -> None:
    probabilities = filters.softmax(np.array(values, np.float32))
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    assert all(p == 0 for p, value in zip(probabilities, values, strict=True) if value == -math.inf)
