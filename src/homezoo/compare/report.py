"""The report as one HTML file: nothing in it is fetched, and it prints well."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from homezoo.compare.chart import cost_chart, short
from homezoo.compare.chart_svg import COLOURS, draw_svg
from homezoo.compare.cost import Way
from homezoo.compare.outcome import NEAR_BEST, Prices, teaching
from homezoo.compare.prepared import NOTHING

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 48, 56
CLEARLY = 0.1  # difference of two shares that is worth a sentence

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; max-width: 62rem; margin: 2.5rem auto;
  padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { margin-top: 2.2rem; font-size: 1.2rem }
p.lead { color: #555; margin-top: 0 } .answer { background: #eef5fb; border-left: 4px solid #0072b2;
  padding: .8rem 1rem; border-radius: 4px; font-size: 1.08rem }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums }
th { text-align: right; border-bottom: 2px solid #999; padding: .35rem .5rem;
  vertical-align: bottom }
td { text-align: right; border-bottom: 1px solid #e3e3e3; padding: .35rem .5rem }
th:first-child, td:first-child { text-align: left } td small { color: #777; white-space: nowrap }
.scroll { overflow-x: auto } svg { max-width: 100%; height: auto } footer { color: #777;
  font-size: .85rem; margin-top: 3rem; border-top: 1px solid #ddd; padding-top: .6rem }
"""


def write_html(found: Mapping[str, Any], ways: Sequence[Way], prices: Prices) -> str:
    """The page, from what `as_object` gives."""
    taught = teaching(ways)
    title = f"Which way to teach {found['model']}?"
    asked = ", ".join(f"{n} {group}" for group, n in found["questions"].items())
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1>",
        f"<p class='lead'>{found['lessons']} things to learn; questions: {asked}. Everything was "
        "measured on one machine with the same questions.</p>",
        f"<p class='answer'>{escape(answer_of(found, prices))}</p>",
        "<h2>What each way knows and costs</h2>",
        f"<div class='scroll'>{_table(found, prices)}</div>",
        "<p><small>Accuracy: an accepted answer stands in the reply; below it, the 95 % interval "
        "(Wilson). Kept: of what the bare model knew of other things, the share it still "
        "does. Once: time and electricity to prepare; a profile of the model is counted "
        "in.</small></p>",
        "<h2>Cost over calls</h2>",
        draw_svg(cost_chart(taught, prices.calls, prices.currency, _basis(prices))),
        "<h2>Accuracy against cost</h2>",
        draw_plane(ways, prices),
        "<h2>Where the lines cross</h2>",
        "<ul>" + "".join(f"<li>{escape(crossing(b))}</li>" for b in found["break_even"]) + "</ul>",
        "<h2>Wrong answers, to look at</h2>",
        *_wrong(found),
        f"<footer>Made by homezoo compare. {escape(_basis(prices))}</footer></html>",
    ]
    return "\n".join(parts)


def answer_of(found: Mapping[str, Any], prices: Prices) -> str:
    """The finding in a sentence or two."""
    asked = [way for way in found["ways"] if "learned" in way]
    best = max(asked, key=lambda way: way["learned"]["value"] or 0)
    right = f"{best['learned']['value'] or 0:.0%}"
    said = f"The most accurate way was {best['name']}: {right} of the questions about what was new."
    said += _spared(asked, best)
    wanted = found["accuracy_wanted"]
    bar = " whose accuracy is near the best" if wanted is None else f" that reaches {wanted:.0%}"
    if found["cheapest"] is None:
        return f"{said} No way{bar}."
    sure = " (the ranges of the figures leave room for another)" if (
        found["cheapest_is_sure"] is False
    ) else ""  # fmt: skip
    return (
        f"{said} Over {prices.calls:,.0f} calls the cheapest way{bar} is {found['cheapest']}{sure}."
    )


def _spared(asked: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> str:
    """What the best way spoils, when another that is nearly as accurate spoils clearly less."""
    bar = NEAR_BEST * (best["learned"]["value"] or 0)
    near = [way for way in asked if (way["learned"]["value"] or 0) >= bar and way["kept"]["of"]]
    if not near or not best["kept"]["of"]:
        return ""
    safest = max(near, key=lambda way: way["kept"]["value"])
    if safest["kept"]["value"] - best["kept"]["value"] <= CLEARLY:
        return ""
    return (
        f" But of what was known before it keeps {best['kept']['value']:.0%}; {safest['name']} "
        f"keeps {safest['kept']['value']:.0%}, with {safest['learned']['value']:.0%} right."
    )


def crossing(found: Mapping[str, Any]) -> str:
    """A break-even as a sentence."""
    first, later, calls = found["first"], found["later"], found["calls"]
    if calls is None:
        return f"{first} costs less than {later} for any number of calls"
    low, high = found["low"], found["high"]
    between = f" (between {low:,.0f} and {'never' if high == float('inf') else f'{high:,.0f}'})"
    return f"from {calls:,.0f} calls on, {later} costs less than {first}{between}"


def _basis(prices: Prices) -> str:
    if prices.per_1k_tokens:
        return f"Calls at {prices.currency}{prices.per_1k_tokens:g} per 1,000 tokens."
    return (
        f"Electricity: {prices.watts:g} W at work, "
        f"{prices.currency}{prices.kilowatt_hour:g} per kWh."
    )


_HEADS = (
    "way", "taught wording", "held-out wording", "kept", "prompt tokens", "to first token, ms",
    "answer, ms", "once, s", "once", "million calls", "add one, s", "remove one, s", "size",
)  # fmt: skip


def _table(found: Mapping[str, Any], prices: Prices) -> str:
    rows = []
    for way in found["ways"]:
        if "learned" not in way:
            rows.append([escape(way["name"]), f"not possible: {escape(way['failed'])}"])
            continue
        seconds = way["once_seconds"] + way["profile_seconds"]
        rows.append(
            [
                escape(way["name"])
                + (f"<br><small>{escape(way['note'])}</small>" if way["note"] else ""),
                _cell(way["accuracy"]["taught"]),
                _cell(way["accuracy"]["held-out"]),
                _cell(way["kept"]),
                f"{way['prompt_tokens']:,.0f}",
                f"{1000 * way['first_token_seconds']:,.1f}",
                f"{1000 * way['answer_seconds']:,.1f}",
                f"{seconds:,.1f}",
                prices.currency + money(way["once"]),
                prices.currency + money(1e6 * way["per_call"]["value"]),
                f"{way['add_one_seconds']:,.2f}",
                f"{way['remove_one_seconds']:,.2f}",
                f"{way['bytes'] / 1000:,.0f} kB",
            ]
        )
    head = "".join(f"<th>{escape(h)}</th>" for h in _HEADS)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def money(amount: float) -> str:
    """An amount without an exponent, however small."""
    if amount == 0 or amount >= 0.01:
        return f"{amount:,.2f}"
    return f"{amount:.7f}".rstrip("0") if amount >= 1e-7 else "less than 0.0000001"


def _cell(found: Mapping[str, Any]) -> str:
    if not found["of"]:
        return "–"
    return f"{found['value']:.0%}<br><small>{found['low']:.0%} to {found['high']:.0%}</small>"


def _wrong(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, replies in found["wrong"].items():
        for reply in replies:
            cells = (name, reply["question"], ", ".join(reply["answers"]), reply["reply"])
            lines.append("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>")
    if not lines:
        return ["<p>None.</p>"]
    head = "<tr><th>way</th><th>question</th><th>right</th><th>reply</th></tr>"
    return [f"<div class='scroll'><table>{head}{''.join(lines)}</table></div>"]


def draw_plane(ways: Sequence[Way], prices: Prices) -> str:
    """Accuracy over total cost, a point for each way with the range of its cost."""
    totals = [way.total(prices.calls) for way in ways]
    most = max((total.high for total in totals), default=1.0) or 1.0
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(cost: float) -> float:
        return LEFT + wide * cost / most

    def y(accuracy: float) -> float:
        return TOP + high * (1 - accuracy)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="Accuracy against cost" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
                     'stroke="#e3e3e3"/>')  # fmt: skip
        parts.append(
            f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.0%}</text>'
        )
    for tick in (0.0, 0.5, 1.0):
        parts.append(f'<text x="{x(tick * most):.1f}" y="{TOP + high + 20}" text-anchor="middle">'
                     f"{prices.currency}{short(tick * most)}</text>")  # fmt: skip
    parts.append(f'<text x="{LEFT + wide / 2}" y="{HEIGHT - 12}" text-anchor="middle">'
                 f"total cost over {prices.calls:,.0f} calls</text>")  # fmt: skip
    for n, (way, total) in enumerate(zip(ways, totals, strict=True)):
        at = y(way.accuracy or 0.0)
        number = n - (ways[0].name == NOTHING)  # the colours of the chart above
        colour = COLOURS[number % 8] if number >= 0 else "#8a8a8a"
        parts.append(
            f'<line x1="{x(total.low):.1f}" x2="{x(total.high):.1f}" y1="{at:.1f}" '
            f'y2="{at:.1f}" stroke="{colour}" stroke-width="2" opacity="0.5"/>'
        )
        parts.append(f'<circle cx="{x(total.value):.1f}" cy="{at:.1f}" r="6" fill="{colour}"/>')
        key = TOP + 20 * n + 10
        parts.append(f'<circle cx="{LEFT + wide + 24}" cy="{key}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + wide + 36}" y="{key + 4}">{escape(way.name)}</text>')
    return "\n".join([*parts, "</svg>"])
