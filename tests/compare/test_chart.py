"""The picture of crossing lines: in a terminal, as SVG, HTML and PNG."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from homezoo.compare.chart import Chart, Line, cost_chart, short, ticks
from homezoo.compare.chart_file import save_chart
from homezoo.compare.chart_svg import draw_svg
from homezoo.compare.chart_text import draw_text
from homezoo.compare.cost import Range, Way
from homezoo.errors import OptionError

SEED = [
    Way("context", Range.of(0), Range.of(0.002)),
    Way("training", Range(100, 80, 120), Range.of(0)),
]


def test_the_crossing_is_marked_where_it_is() -> None:
    chart = cost_chart(SEED, 100_000, "$")
    (mark,) = chart.marks
    assert (round(mark.x), round(mark.y), mark.label) == (50_000, 100, "50,000")


def test_the_terminal_shows_both_lines_and_their_crossing() -> None:
    text = draw_text(cost_chart(SEED, 100_000, "$"), width=60, height=11)
    rows = text.splitlines()[1:12]
    crossing = next(n for n, row in enumerate(rows) if "✕" in row)
    assert rows[0].rstrip().endswith("●") and rows[crossing].count("▲") > 20
    assert rows[crossing].index("✕") == 32  # five columns of figures, the axis, then the middle
    assert text.splitlines()[-1] == "● context   ▲ training   ✕ at 50,000 calls"
    assert max(map(len, text.splitlines())) <= 60


def test_svg_is_sound_names_its_lines_and_asks_for_nothing() -> None:
    chart = cost_chart(SEED, 100_000, "<$>", note="a & b")
    text = draw_svg(chart)
    root = ElementTree.fromstring(text)
    words = [node.text for node in root.iter() if node.text]
    assert "context" in words and "training" in words and "50,000 calls" in words
    assert "total cost in <$>" in words and "a & b" in words
    assert len(root.findall(".//{*}polyline")) == 2
    assert len(root.findall(".//{*}polygon")) == 1  # only training has a range
    assert "href" not in text and "url(" not in text and "<script" not in text
    assert draw_svg(chart) == text


def test_files_by_their_ending(tmp_path: Path) -> None:
    chart = cost_chart(SEED, 100_000, "$")
    save_chart(chart, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == draw_svg(chart)
    save_chart(chart, tmp_path / "a.html")
    assert draw_svg(chart) in (tmp_path / "a.html").read_text()
    with pytest.raises(OptionError, match=r"expected \.svg, \.html, \.png"):
        save_chart(chart, tmp_path / "a.pdf")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a.svg"]


def test_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib, the extra `plot`, is not installed")
    save_chart(cost_chart(SEED, 100_000, "$"), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_axes_have_round_figures() -> None:
    assert list(ticks(100)) == [0, 20, 40, 60, 80, 100]
    assert list(ticks(7)) == [0, 2, 4, 6]
    assert [short(x) for x in (0, 0.002, 999, 50_000, 1_500_000)] == [
        "0", "0.002", "999", "50k", "1.5M"
    ]  # fmt: skip


def test_an_empty_line_of_zeros_can_be_drawn() -> None:
    chart = Chart("t", "x", "y", [Line("a", [0.0, 1.0], [0.0, 0.0])])
    assert "● a" in draw_text(chart)
    assert ElementTree.fromstring(draw_svg(chart)) is not None
