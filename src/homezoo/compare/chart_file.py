"""A chart into a file: SVG or HTML as they are, PNG by matplotlib (extra `plot`)."""

from collections.abc import Callable
from html import escape
from io import BytesIO
from pathlib import Path

from homezoo.compare.chart import Chart
from homezoo.compare.chart_svg import COLOURS, draw_svg
from homezoo.errors import OptionError, UnsupportedError
from homezoo.formats.whole_file import whole_file

_PAGE = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<body style="margin:2rem auto;max-width:52rem;font-family:system-ui,sans-serif">
{svg}</body></html>
"""


def save_chart(chart: Chart, path: Path) -> None:
    """Writes .svg, .html or .png, by the path's ending: a whole file, or the old one stays.

    Raises OptionError for another ending, UnsupportedError for PNG without matplotlib.
    """
    makers: dict[str, Callable[[Chart], bytes]] = {
        ".svg": lambda chart: draw_svg(chart).encode(),
        ".html": lambda chart: _page(chart).encode(),
        ".png": _png,
    }
    make = makers.get(path.suffix.lower())
    if make is None:
        raise OptionError(f"{path} ends with {path.suffix!r}; expected {', '.join(makers)}")
    write_whole(path, make(chart))


def write_whole(path: Path, content: bytes) -> None:
    """Puts a file in place at once: a crash leaves the old one."""
    with whole_file(path) as file:
        file.write(content)


def _page(chart: Chart) -> str:
    return _PAGE.format(title=escape(chart.title), svg=draw_svg(chart))


def _png(chart: Chart) -> bytes:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UnsupportedError(
            "a PNG needs matplotlib; run: pip install 'homezoo[plot]', or ask for .svg or .html"
        ) from None
    figure = Figure(figsize=(7.6, 4.4), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for line, colour in zip(chart.lines, COLOURS, strict=False):
        axes.plot(line.x, line.y, color=colour, label=line.name, linewidth=2)
        if line.low:
            axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.13, linewidth=0)
    for mark in chart.marks:
        axes.plot([mark.x], [mark.y], "o", color="white", markeredgecolor="black", markersize=8)
        axes.annotate(
            f"{mark.label} {chart.x_label}", (mark.x, mark.y), (8, -14), textcoords="offset points"
        )
    axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
    axes.set_xlim(0, chart.x_end)
    axes.set_ylim(0, chart.y_end * 1.02)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.tight_layout()
    out = BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
