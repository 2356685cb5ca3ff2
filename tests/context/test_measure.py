"""Figures of rankings against cases worked out by hand."""

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homezoo.context.measure import discounted_gain, recall_at, reciprocal_rank


def test_by_hand() -> None:
    ranking = ["a", "b", "c", "d", "e", "f"]
    assert recall_at(ranking, {"b", "f"}, 5) == 0.5
    assert recall_at(ranking, {"x"}, 5) == 0 and recall_at(ranking, set(), 5) == 1
    assert reciprocal_rank(ranking, {"c", "e"}) == pytest.approx(1 / 3)
    assert reciprocal_rank(ranking, {"x"}) == 0
    # b at rank 2 and e at rank 5; the best order has them at 1 and 2
    expected = (1 / log2(3) + 1 / log2(6)) / (1 + 1 / log2(3))
    assert discounted_gain(ranking, {"b", "e"}, 5) == pytest.approx(expected)
    assert discounted_gain(ranking, {"f"}, 5) == 0


@given(st.permutations(range(8)), st.sets(st.integers(0, 9)), st.integers(1, 9))
def test_all_lie_between_0_and_1_and_the_best_order_is_1(
    ranking: list[int], right: set[int], k: int
) -> None:
    figures = [
        recall_at(ranking, right, k),
        reciprocal_rank(ranking, right),
        discounted_gain(ranking, right, k),
    ]
    assert all(0 <= figure <= 1 + 1e-12 for figure in figures)
    best = sorted(right) + [n for n in ranking if n not in right]
    assert discounted_gain(best, right, k) == pytest.approx(1)
