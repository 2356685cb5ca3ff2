"""A chart in a terminal: one character cell per point, one sign per line."""

from collections.abc import Iterator

from homezoo.compare.chart import Chart, short, ticks

SIGNS = "●▲■◆○△□◇"
CROSSING = "✕"


def draw_text(chart: Chart, width: int = 72, height: int = 18) -> str:
    """The chart in `width` columns and `height` rows besides axis and legend."""
    margin = max(len(short(value)) for value in (0.0, *ticks(chart.y_end))) + 1
    columns = max(10, width - margin - 2)
    grid = [[" "] * columns for _ in range(height)]

    def place(x: float, y: float, sign: str) -> None:
        column = round(x / chart.x_end * (columns - 1))
        row = height - 1 - round(y / chart.y_end * (height - 1))
        grid[row][column] = sign

    for line, sign in reversed(list(zip(chart.lines, SIGNS, strict=False))):
        for column in range(columns):
            x = chart.x_end * column / (columns - 1)
            place(x, _at(line.x, line.y, x), sign)
    for mark in chart.marks:
        place(mark.x, mark.y, CROSSING)
    labels = {
        height - 1 - round(value / chart.y_end * (height - 1)): short(value)
        for value in ticks(chart.y_end)
    }
    rows = [f"{labels.get(n, ''):>{margin}} │{''.join(row)}" for n, row in enumerate(grid)]
    rows = [row.rstrip() for row in rows]
    axis = _axis(chart, margin, columns)
    return "\n".join([chart.y_label, *rows, *axis, *_key(chart, width)])


def _axis(chart: Chart, margin: int, columns: int) -> list[str]:
    """The x axis with its figures."""
    line, figures = ["─"] * columns, [" "] * columns
    for value in ticks(chart.x_end, 6):
        column = round(value / chart.x_end * (columns - 1))
        line[column] = "┬"
        text = short(value)
        start = max(0, min(column - len(text) // 2, columns - len(text)))
        figures[start : start + len(text)] = text
    blank = " " * (margin + 2)
    return [" " * (margin + 1) + "└" + "".join(line), blank + "".join(figures).rstrip()]


def _key(chart: Chart, width: int) -> Iterator[str]:
    """Which sign is which line, and where lines cross; as many rows as they take."""
    parts = [f"{sign} {line.name}" for line, sign in zip(chart.lines, SIGNS, strict=False)]
    parts += [f"{CROSSING} at {mark.label} {chart.x_label}" for mark in chart.marks]
    row = parts[0]
    for part in parts[1:]:
        if len(row) + 3 + len(part) > width:
            yield row
            row = part
        else:
            row += "   " + part
    yield row


def _at(xs: object, ys: object, x: float) -> float:
    import numpy as np

    return float(np.interp(x, np.asarray(xs), np.asarray(ys)))
