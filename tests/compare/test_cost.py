"""Break-even arithmetic against cases worked out by hand."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homezoo.compare.cost import (
    Range,
    Way,
    break_even,
    break_evens,
    cheapest,
    surely_cheapest,
)
from homezoo.errors import OptionError

ZERO = Range.of(0)


def way(name: str, once: float, per_call: float, accuracy: float | None = None) -> Way:
    return Way(name, Range.of(once), Range.of(per_call), accuracy)


def test_the_seed_example_is_fifty_thousand_calls() -> None:
    # 1,000 tokens at $0.002 per 1,000 are $0.002 a call; $100 / $0.002 = 50,000
    context = Way("context", ZERO, Range.of(1000) * Range.of(0.002) * 0.001)
    found = break_even(context, way("training", 100, 0))
    assert found.first == "context" and found.later == "training"
    assert found.calls == pytest.approx(50_000, rel=1e-12)
    assert found.low == found.high == found.calls


def test_both_ways_may_cost_something_once_and_per_call() -> None:
    # index: 3 + 0.0005 n; training: 45 + 0.0001 n; equal at 42 / 0.0004 = 105,000
    found = break_even(way("training", 45, 0.0001), way("index", 3, 0.0005))
    assert (found.first, found.later) == ("index", "training")
    assert found.calls == pytest.approx(105_000)


def test_a_way_that_costs_more_once_and_per_call_never_gets_cheaper() -> None:
    found = break_even(way("dear", 10, 0.2), way("cheap", 5, 0.1))
    assert (found.first, found.later, found.calls, found.high) == ("cheap", "dear", None, None)


def test_equal_price_per_call_leaves_the_first_price_to_decide() -> None:
    found = break_even(way("training", 100, 0), way("editing", 4, 0))
    assert (found.first, found.later, found.calls) == ("editing", "training", None)


def test_ways_that_cost_the_same_break_even_at_once() -> None:
    assert break_even(way("a", 1, 1), way("b", 1, 1)).calls == 0


def test_ranges_give_the_extremes() -> None:
    # 800..1200 tokens at 0.002 per 1,000; training 50..200:
    # least 50 / 0.0024 = 20,833.3; most 200 / 0.0016 = 125,000
    context = Way("context", ZERO, Range.read("800..1000..1200") * 0.002 * 0.001)
    found = break_even(context, Way("training", Range.read("50..100..200"), ZERO))
    assert found.calls == pytest.approx(50_000)
    assert found.low == pytest.approx(20_833.333, rel=1e-6)
    assert found.high == pytest.approx(125_000)


def test_a_range_that_reaches_no_saving_has_no_end() -> None:
    a = Way("a", ZERO, Range(2, 1, 3))
    b = Way("b", Range.of(6), Range(1, 0.5, 1.5))
    found = break_even(a, b)
    # least: 6 / (3 - 0.5) = 2.4; likeliest: 6 / 1; at a = 1, b = 1.5 it never pays
    assert found.calls == 6 and found.low == pytest.approx(2.4) and found.high == inf


def test_pairs_come_in_the_order_given() -> None:
    ways = [way("a", 0, 3), way("b", 1, 2), way("c", 3, 1)]
    assert [(p.first, p.later, p.calls) for p in break_evens(ways)] == [
        ("a", "b", 1),
        ("a", "c", 1.5),
        ("b", "c", 2),
    ]


def test_total_over_a_horizon() -> None:
    # 200 calls a day for 365 days are 73,000; 73,000 * 0.002 = 146
    assert way("context", 0, 0.002).total(200 * 365).value == pytest.approx(146)
    total = Way("a", Range(10, 5, 20), Range(2, 1, 3)).total(100)
    assert (total.value, total.low, total.high) == (210, 105, 320)


def test_the_cheapest_way_that_reaches_an_accuracy() -> None:
    ways = [
        way("nothing", 0, 0, 0.05),
        way("context", 0, 0.002, 0.95),
        way("training", 100, 0, 0.9),
        way("editing", 4, 0, 0.6),
        way("unknown", 0, 0),
    ]
    names = [
        found and found.name
        for found in (
            cheapest(ways, 73_000, 0.8),  # 146 against 100
            cheapest(ways, 10_000, 0.8),  # 20 against 100
            cheapest(ways, 73_000, 0.5),
            cheapest(ways, 73_000, 0.99),
            cheapest(ways, 73_000),
        )
    ]
    assert names == ["training", "context", "editing", None, "nothing"]


def test_a_lead_is_sure_only_when_the_ranges_do_not_overlap() -> None:
    cheap, dear = Way("a", Range(1, 0, 2), ZERO), Way("b", Range(3, 2, 4), ZERO)
    assert surely_cheapest([cheap, dear], 10)
    assert not surely_cheapest([cheap, Way("b", Range(3, 1.9, 4), ZERO)], 10)


@pytest.mark.parametrize("text", ["", "x", "-1", "1..2..3..4", "nan", "inf", "5..3", "1..9..3"])
def test_a_wrong_figure_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        Range.read(text)


figures = st.floats(0, 1e6)


@given(figures, figures, figures, figures)
def test_before_the_crossing_the_first_is_cheaper_and_after_it_the_later(
    once_a: float, per_a: float, once_b: float, per_b: float
) -> None:
    ways = {"a": way("a", once_a, per_a), "b": way("b", once_b, per_b)}
    found = break_even(*ways.values())
    first, later = ways[found.first], ways[found.later]
    calls = 1e9 if found.calls is None else found.calls
    slack = 1e-6 * (1 + first.total(2 * calls).value)
    assert first.total(calls / 2).value <= later.total(calls / 2).value + slack
    if found.calls is not None:
        assert later.total(2 * calls).value <= first.total(2 * calls).value + slack
