"""Break-even arithmetic: a way to teach costs something once and something for every call.

total(calls) = once + per_call · calls is a straight line for each way. Two lines cross where
calls = (once_b - once_a) / (per_call_a - per_call_b). Every figure may be a range; as that formula
and the totals rise or fall with each figure alone, their extremes lie at the ends of the ranges,
so the ranges given here are exact and not estimates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import inf, isfinite

from homezoo.errors import OptionError


@dataclass(frozen=True)
class Range:
    """A figure that lies between two values; `value` is what is counted with."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise OptionError(
                f"the range {self.low:g} to {self.high:g} does not hold its value {self.value:g}"
            )

    @staticmethod
    def of(value: "float | Range") -> "Range":
        """A figure without uncertainty."""
        return value if isinstance(value, Range) else Range(value, value, value)

    @staticmethod
    def read(text: str) -> "Range":
        """`1000`, or `800..1200` with its middle as the value, or `800..900..1200`.

        Raises OptionError for text that is no such figure, or for one below 0.
        """
        try:
            given = [float(part) for part in text.split("..")]
        except ValueError:
            given = []
        if len(given) not in (1, 2, 3) or not all(isfinite(x) and x >= 0 for x in given):
            raise OptionError(
                f"{text!r} is no figure; expected a number from 0 on, a range such as 800..1200, "
                "or one with its likeliest value, 800..900..1200"
            )
        low, high = given[0], given[-1]
        return Range(given[1] if len(given) == 3 else (low + high) / 2, low, high)

    @property
    def certain(self) -> bool:
        """Whether it is a single value."""
        return self.low == self.high

    def __mul__(self, other: "float | Range") -> "Range":
        """The product of two figures that are not negative."""
        other = Range.of(other)
        return Range(self.value * other.value, self.low * other.low, self.high * other.high)

    def __add__(self, other: "float | Range") -> "Range":
        other = Range.of(other)
        return Range(self.value + other.value, self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Way:
    """One way to teach, as money: what it costs once, and for each call; its accuracy if known."""

    name: str
    once: Range
    per_call: Range
    accuracy: float | None = None

    def total(self, calls: float) -> Range:
        """What so many calls cost in all."""
        return self.once + self.per_call * calls


@dataclass(frozen=True)
class BreakEven:
    """From `calls` on, `later` is the cheaper of two ways; up to there `first` is.

    `calls` is None when one of them is cheaper for any number of calls: then that is `first`, and
    `later` never gets cheaper. `low` and `high` are its extremes over the ranges of the figures;
    `high` is infinite when for some of them `later` never gets cheaper.
    """

    first: str
    later: str
    calls: float | None
    low: float | None
    high: float | None


def break_even(a: Way, b: Way) -> BreakEven:
    """Where two ways cost the same; of two that always do, the first given is `first`."""
    if (a.once.value, a.per_call.value) > (b.once.value, b.per_call.value):
        a, b = b, a  # a is now the cheaper one to begin with
    calls = _crossing(a.once.value, a.per_call.value, b.once.value, b.per_call.value)
    ends = [
        _crossing(*corner)
        for corner in product(
            (a.once.low, a.once.high),
            (a.per_call.low, a.per_call.high),
            (b.once.low, b.once.high),
            (b.per_call.low, b.per_call.high),
        )
    ]
    found = [end for end in ends if end is not None]
    if calls is None:
        return BreakEven(a.name, b.name, None, min(found, default=None), None)
    high = inf if len(found) < len(ends) else max(found)
    return BreakEven(a.name, b.name, calls, min(found), high)


def _crossing(once_a: float, per_a: float, once_b: float, per_b: float) -> float | None:
    """Calls from which b costs no more than a and stays so, or None when there are none."""
    if per_b == per_a:
        return 0.0 if once_b <= once_a else None
    if per_b > per_a:
        return None
    return max(0.0, (once_b - once_a) / (per_a - per_b))


def break_evens(ways: Sequence[Way]) -> list[BreakEven]:
    """One for each pair of ways, in the order given."""
    return [break_even(a, b) for n, a in enumerate(ways) for b in ways[n + 1 :]]


def cheapest(ways: Sequence[Way], calls: float, accuracy: float | None = None) -> Way | None:
    """The way that costs least over so many calls, among those that reach an accuracy.

    A way of unknown accuracy reaches none. None when no way does. Of equal ones, the most accurate.
    """
    able = [
        way
        for way in ways
        if accuracy is None or (way.accuracy is not None and way.accuracy >= accuracy)
    ]
    return min(able, key=lambda way: (way.total(calls).value, -(way.accuracy or 0)), default=None)


def surely_cheapest(ways: Sequence[Way], calls: float) -> bool:
    """Whether the cheapest way stays it wherever in their ranges the figures lie."""
    best = cheapest(ways, calls)
    return best is not None and all(
        best.total(calls).high <= way.total(calls).low for way in ways if way is not best
    )
