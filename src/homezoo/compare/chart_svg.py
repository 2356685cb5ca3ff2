"""A chart as SVG, written here: the same bytes each time, no library, nothing to fetch."""

from collections.abc import Sequence
from html import escape

from homezoo.compare.chart import Chart, Line, short, ticks

# Okabe and Ito's colours, which people with any colour vision tell apart; each line has a dash too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c8c00")
DASHES = ("", "7 4", "2 3", "9 3 2 3", "4 2", "1 2", "12 4", "6 2 1 2")
WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 78, 24, 52, 92  # room beside the axes for their figures and the key


def draw_svg(chart: Chart) -> str:
    """The chart as one <svg> element of 760 by 440, which also stands alone as a file."""
    frame = _Frame(chart)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(chart.title)}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 26, chart.title, size=17, weight=600),
        *frame.axes(),
        *(frame.band(line, COLOURS[n % 8]) for n, line in enumerate(chart.lines) if line.low),
        *(frame.curve(line, n % 8) for n, line in enumerate(chart.lines)),
        *frame.marks(),
        *_key(chart.lines),
        _text(LEFT, HEIGHT - 8, chart.note, size=11, colour="#666666"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Frame:
    """From the chart's units to places in the picture."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.x_scale = (WIDTH - LEFT - RIGHT) / chart.x_end
        self.y_scale = (HEIGHT - TOP - BOTTOM) / chart.y_end

    def x(self, value: float) -> float:
        return round(LEFT + value * self.x_scale, 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - value * self.y_scale, 1)

    def axes(self) -> list[str]:
        """Grid, figures and names of both axes."""
        chart, right, floor = self.chart, WIDTH - RIGHT, HEIGHT - BOTTOM
        parts = []
        for value in ticks(chart.y_end):
            y = self.y(value)
            parts.append(f'<path d="M{LEFT} {y}H{right}" stroke="#e4e4e4"/>')
            parts.append(_text(LEFT - 8, y + 4, short(value), "end"))
        for value in ticks(chart.x_end, 7):
            x = self.x(value)
            parts.append(f'<path d="M{x} {floor}v5" stroke="#888888"/>')
            parts.append(_text(x, floor + 19, short(value), "middle"))
        parts.append(f'<path d="M{LEFT} {TOP}V{floor}H{right}" fill="none" stroke="#888888"/>')
        parts.append(_text((LEFT + right) / 2, floor + 38, chart.x_label, "middle", "#444444"))
        middle = (TOP + floor) / 2
        parts.append(
            f'<text x="18" y="{middle}" transform="rotate(-90 18 {middle})" text-anchor="middle" '
            f'fill="#444444">{escape(chart.y_label)}</text>'
        )
        return parts

    def band(self, line: Line, colour: str) -> str:
        """Where the curve may lie."""
        there = [f"{self.x(x)},{self.y(y)}" for x, y in zip(line.x, line.high, strict=True)]
        back = [f"{self.x(x)},{self.y(y)}" for x, y in zip(line.x, line.low, strict=True)]
        points = " ".join([*there, *reversed(back)])
        return f'<polygon points="{points}" fill="{colour}" fill-opacity="0.13"/>'

    def curve(self, line: Line, number: int) -> str:
        points = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in zip(line.x, line.y, strict=True))
        return f'<polyline points="{points}" fill="none" {_stroke(number)}/>'

    def marks(self) -> list[str]:
        """Crossings, with a line down to the x axis."""
        parts = []
        for mark in self.chart.marks:
            x, y = self.x(mark.x), self.y(mark.y)
            near_end = x > WIDTH - 150
            parts.append(
                f'<path d="M{x} {y}V{HEIGHT - BOTTOM}" stroke="#444444" stroke-dasharray="3 3"/>'
                f'<circle cx="{x}" cy="{y}" r="5" fill="#ffffff" stroke="#222222" '
                'stroke-width="2"/>'
            )
            label = f"{mark.label} {self.chart.x_label}"
            side, anchor = (-10, "end") if near_end else (10, "start")
            parts.append(_text(x + side, y + 18, label, anchor, weight=600))
        return parts


def _key(lines: Sequence[Line]) -> list[str]:
    """A sample of each line with its name, in two rows at most."""
    parts, x, y = [], float(LEFT), HEIGHT - 44
    for number, line in enumerate(lines):
        if x + 32 + 7.2 * len(line.name) > WIDTH:
            x, y = float(LEFT), y + 18
        parts.append(f'<path d="M{x} {y}h26" {_stroke(number % 8)}/>')
        parts.append(_text(x + 32, y + 4, line.name))
        x += 56 + 7.2 * len(line.name)
    return parts


def _stroke(number: int) -> str:
    dash = f' stroke-dasharray="{DASHES[number]}"' if DASHES[number] else ""
    return f'stroke="{COLOURS[number]}" stroke-width="2.5"{dash}'


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str = "start",
    colour: str = "#222222",
    size: int = 13,
    weight: int = 400,
) -> str:
    style = f' font-size="{size}"' if size != 13 else ""
    style += f' font-weight="{weight}"' if weight != 400 else ""
    return (
        f'<text x="{round(x, 1)}" y="{round(y, 1)}" text-anchor="{anchor}" fill="{colour}"{style}>'
        f"{escape(text)}</text>"
    )
