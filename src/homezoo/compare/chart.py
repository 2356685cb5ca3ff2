"""A chart as data: what a terminal, an SVG and a PNG picture draw alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from homezoo.compare.cost import Way, break_evens


@dataclass(frozen=True)
class Line:
    """A named curve: y over x, with the band in which y may lie where that is known."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Mark:
    """A point with a label."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Chart:
    """Axes from 0 to the largest values; `note` says what the figures rest on."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    note: str = ""

    @property
    def x_end(self) -> float:
        """The right end of the x axis."""
        return max((max(line.x) for line in self.lines), default=1.0) or 1.0

    @property
    def y_end(self) -> float:
        """The top of the y axis."""
        tops = [max([*line.y, *line.high]) for line in self.lines]
        return max(tops, default=1.0) or 1.0


def cost_chart(ways: Sequence[Way], calls: float, currency: str, note: str = "") -> Chart:
    """Total cost of each way over the calls, with the crossings up to `calls` marked."""
    x = [calls * step / 64 for step in range(65)]
    lines = []
    for way in ways:
        totals = [way.total(n) for n in x]
        low, high = [t.low for t in totals], [t.high for t in totals]
        y = [t.value for t in totals]
        lines.append(Line(way.name, x, y, *((low, high) if low != high else ())))
    by_name = {way.name: way for way in ways}
    marks = [
        Mark(found.calls, by_name[found.later].total(found.calls).value, f"{found.calls:,.0f}")
        for found in break_evens(ways)
        if found.calls is not None and 0 < found.calls <= calls
    ]
    return Chart("What each way costs", "calls", f"total cost in {currency}", lines, marks, note)


def ticks(end: float, count: int = 5) -> Iterator[float]:
    """Round numbers from 0 up to `end`, about `count` of them."""
    step = end / count
    unit = 10.0 ** floor(log10(step))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= step * 0.999)
    for n in range(ceil(end / step * 1.001)):
        yield n * step


def short(value: float) -> str:
    """`50k`, `1.5M`, `0.002`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
