"""A picture of the grades in SVG: one bar for each measure, with its interval."""

from html import escape

from homezoo.edit.grade import MEASURES, Grades

_ROW, _LEFT, _WIDTH = 30, 220, 480  # pixels: height of a row, room for names, length of 100 %
_BAR, _LINE = "#4477aa", "#222222"  # told apart by people who do not see colours


def picture(grades: Grades) -> str:
    """An <svg> element; measures without a question are left out."""
    names = [name for name in MEASURES if name in grades.rates and grades.rates[name].total]
    height = _ROW * len(names) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 80}" height="{height}" '
        'font-family="sans-serif" font-size="13" role="img" '
        'aria-label="rates of each measure with 95 % intervals">'
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _LEFT + share * _WIDTH
        parts.append(f'<line x1="{x}" y1="0" x2="{x}" y2="{height - 20}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x}" y="{height - 5}" text-anchor="middle">{share:.0%}</text>')
    for number, name in enumerate(names):
        rate = grades.rates[name]
        low, high = rate.interval
        top = number * _ROW + 5
        middle = top + 9
        parts.append(
            f'<text x="{_LEFT - 10}" y="{top + 14}" text-anchor="end">{escape(name)}</text>'
        )
        parts.append(
            f'<rect x="{_LEFT}" y="{top}" width="{rate.value * _WIDTH:.1f}" height="18" '
            f'fill="{_BAR}"><title>{escape(str(rate))}</title></rect>'
        )
        parts.append(
            f'<line x1="{_LEFT + low * _WIDTH:.1f}" y1="{middle}" '
            f'x2="{_LEFT + high * _WIDTH:.1f}" y2="{middle}" stroke="{_LINE}" stroke-width="2"/>'
        )
        parts.append(f'<text x="{_LEFT + _WIDTH + 8}" y="{top + 14}">{rate.value:.1%}</text>')
    return "".join(parts) + "</svg>"
