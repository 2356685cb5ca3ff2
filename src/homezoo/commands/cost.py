"""`homezoo cost`: from how many calls on it pays to train or edit, instead of sending context."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.commands.options import JsonOption
from homezoo.compare.cost import BreakEven, Range, Way, break_even, break_evens, cheapest
from homezoo.errors import OptionError

DETAILS = (
    "Every figure is yours: a number, a range 800..1200, or a range with its likeliest value, "
    "800..900..1200."
)

TokensOption = Annotated[str, typer.Option(help="tokens of context sent with each call")]
PriceOption = Annotated[str, typer.Option("--price-per-1k", help="price of 1,000 such tokens")]
TrainingOption = Annotated[str, typer.Option(help="price of training once")]
TrainedOption = Annotated[str, typer.Option(help="extra price of each call of the trained model")]
EditingOption = Annotated[
    str | None, typer.Option(help="price of editing once; adds that way", show_default=False)
]
RetrievedOption = Annotated[
    str | None,
    typer.Option(help="tokens of each call with an index; adds that way", show_default=False),
]
IndexOption = Annotated[str, typer.Option(help="price of making the index once")]
CallsOption = Annotated[float | None, typer.Option(help="calls each day, for a total")]
HorizonOption = Annotated[float, typer.Option(help="days that those calls go on")]
CurrencyOption = Annotated[str, typer.Option(help="a sign for the prices")]
PlotOption = Annotated[
    Path | None,
    typer.Option(help="write the picture: .svg, .html, or .png (extra plot)", metavar="FILE"),
]


def command(
    context_tokens: TokensOption = "1000",
    price_per_1k: PriceOption = "0.002",
    training_cost: TrainingOption = "100",
    trained_call_cost: TrainedOption = "0",
    editing_cost: EditingOption = None,
    retrieved_tokens: RetrievedOption = None,
    index_cost: IndexOption = "0",
    calls_per_day: CallsOption = None,
    horizon: HorizonOption = 365.0,
    currency: CurrencyOption = "$",
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints break-even calls of each pair of ways, totals over the horizon, and the picture."""
    if calls_per_day is not None and not (calls_per_day > 0 and horizon > 0):
        raise OptionError(
            f"--calls-per-day {calls_per_day:g}, --horizon {horizon:g}: expected more than 0"
        )
    token = Range.read(price_per_1k) * 0.001
    ways = [
        Way("context", Range.of(0), Range.read(context_tokens) * token),
        Way("training", Range.read(training_cost), Range.read(trained_call_cost)),
    ]
    if retrieved_tokens is not None:
        ways.append(Way("retrieval", Range.read(index_cost), Range.read(retrieved_tokens) * token))
    if editing_cost is not None:
        ways.append(Way("editing", Range.read(editing_cost), Range.read(trained_call_cost)))
    calls = None if calls_per_day is None else calls_per_day * horizon
    if plot is not None:
        _save(ways, calls, currency, plot)
    if as_json:
        print(json.dumps(as_object(ways, calls), ensure_ascii=False))
        return
    _print_ways(ways, calls, currency)
    print()
    for found in break_evens(ways):
        print(sentence(found))
    if calls is not None:
        print(_advice(ways, calls, currency))
    _print_picture(ways, calls, currency)


def as_object(ways: list[Way], calls: float | None) -> dict[str, Any]:
    """What --json prints."""
    first = break_even(ways[0], ways[1])
    shown: dict[str, Any] = {
        "break_even_calls": _whole(first.calls if first.later == "training" else None),
        "ways": [_way(way, calls) for way in ways],
        "break_even": [_pair(found) for found in break_evens(ways)],
    }
    if calls is not None:
        best = cheapest(ways, calls)
        shown |= {"calls": calls, "cheapest": best and best.name}
    return shown


def _way(way: Way, calls: float | None) -> dict[str, Any]:
    shown = {"name": way.name, "once": vars(way.once), "per_call": vars(way.per_call)}
    return shown if calls is None else shown | {"total": vars(way.total(calls))}


def _pair(found: BreakEven) -> dict[str, Any]:
    high = None if found.high == float("inf") else _whole(found.high)
    return {
        "first": found.first,
        "later": found.later,
        "calls": _whole(found.calls),
        "low": _whole(found.low),
        "high": high,
    }


def _whole(value: float | None) -> float | int | None:
    """50000 and not 49999.999999999993: sums of money are rounded to twelve digits."""
    if value is None:
        return None
    rounded = float(f"{value:.12g}")
    return int(rounded) if rounded.is_integer() else rounded


def sentence(found: BreakEven) -> str:
    """What a break-even means, in words."""
    if found.calls is None:
        return f"{found.first} is cheaper than {found.later}, however many calls there are"
    said = f"{found.later} is cheaper than {found.first} from {found.calls:,.0f} calls on"
    if found.low is None or found.high is None or found.low == found.high:
        return said
    if found.high == float("inf"):
        return f"{said} (from {found.low:,.0f}, or never, as your ranges have it)"
    return f"{said} ({found.low:,.0f} to {found.high:,.0f}, as your ranges have it)"


def _print_ways(ways: list[Way], calls: float | None, currency: str) -> None:
    from homezoo.commands.table import print_table

    heads = ["way", "once", "per call"] + ([] if calls is None else [f"{calls:,.0f} calls"])
    rows = [
        [way.name, _money(way.once, currency), _money(way.per_call, currency)]
        + ([] if calls is None else [_money(way.total(calls), currency)])
        for way in ways
    ]
    print_table(heads, rows, right=range(1, len(heads)))


def _money(amount: Range, currency: str) -> str:
    def shown(value: float) -> str:
        return f"{value:,.2f}" if value >= 1 or value == 0 else f"{value:.4g}"

    said = currency + shown(amount.value)
    return said if amount.certain else f"{said} ({shown(amount.low)} to {shown(amount.high)})"


def _advice(ways: list[Way], calls: float, currency: str) -> str:
    from homezoo.compare.cost import surely_cheapest

    best = cheapest(ways, calls)
    assert best is not None
    sure = "" if surely_cheapest(ways, calls) else "; your ranges leave room for another"
    cost = _money(best.total(calls), currency)
    return f"over {calls:,.0f} calls {best.name} costs least: {cost}{sure}"


def _shown_calls(ways: list[Way], calls: float | None) -> float:
    """How far the picture goes: twice the last crossing, or what was asked for."""
    crossings = [found.calls for found in break_evens(ways) if found.calls]
    return max([2 * c for c in crossings] + ([] if calls is None else [calls]), default=1000.0)


def _save(ways: list[Way], calls: float | None, currency: str, path: Path) -> None:
    from homezoo.compare.chart import cost_chart
    from homezoo.compare.chart_file import save_chart

    save_chart(cost_chart(ways, _shown_calls(ways, calls), currency), path)


def _print_picture(ways: list[Way], calls: float | None, currency: str) -> None:
    import shutil

    from homezoo.compare.chart import cost_chart
    from homezoo.compare.chart_text import draw_text

    width = min(100, shutil.get_terminal_size((80, 24)).columns)
    print()
    print(draw_text(cost_chart(ways, _shown_calls(ways, calls), currency), width))
