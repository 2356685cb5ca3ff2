"""From what was measured to money, and to the object that --json prints."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from homezoo.compare.cost import Range, Way, break_evens, cheapest, surely_cheapest
from homezoo.compare.exam import GROUPS, Exam
from homezoo.compare.measure import Measured, Reply, counts, kept, wrong
from homezoo.compare.prepared import NOTHING
from homezoo.edit.intervals import Rate

JOULES_PER_KWH = 3.6e6
NEAR_BEST = 0.9  # of the best way's accuracy: what counts as teaching, unless an accuracy is wanted


@dataclass(frozen=True)
class Prices:
    """What things cost; every one is an input."""

    watts: float  # of this machine at work
    kilowatt_hour: float
    per_1k_tokens: float = 0.0  # of a hosted model, in place of this machine's electricity
    calls_per_day: float = 100.0
    days: float = 365.0
    currency: str = "$"

    @property
    def calls(self) -> float:
        """Over the horizon."""
        return self.calls_per_day * self.days

    def of_seconds(self, seconds: float) -> float:
        """Electricity of this machine at work."""
        return seconds * self.watts / JOULES_PER_KWH * self.kilowatt_hour

    def per_call(self, measured: Measured) -> Range:
        """Of an answer: median and quartiles over the exam."""

        def price(reply: Reply) -> float:
            if self.per_1k_tokens:
                return (reply.prompt_tokens + reply.answer_tokens) / 1000 * self.per_1k_tokens
            return self.of_seconds(reply.seconds)

        middle, low, high = measured.middle(price)
        return Range(middle, min(low, middle), max(high, middle))


def priced(measured: Sequence[Measured], prices: Prices) -> list[Way]:
    """The ways that could be asked, as money; accuracy of what was to be learned."""
    return [
        Way(
            m.way.name,
            Range.of(prices.of_seconds(m.way.seconds + m.way.profile_seconds)),
            prices.per_call(m),
            m.accuracy().value,
        )
        for m in measured
        if m.replies
    ]


def teaching(ways: Sequence[Way]) -> list[Way]:
    """Those that teach anything."""
    return [way for way in ways if way.name != NOTHING]


def as_object(
    model: Path, exam: Exam, measured: Sequence[Measured], prices: Prices, wanted: float | None
) -> dict[str, Any]:
    """Everything that was found."""
    ways = priced(measured, prices)
    taught, money = teaching(ways), {way.name: way for way in ways}
    bar = NEAR_BEST * max((way.accuracy or 0.0 for way in taught), default=0.0)
    able = [way for way in taught if (way.accuracy or 0.0) >= (bar if wanted is None else wanted)]
    best = cheapest(able, prices.calls)
    return {
        "model": model.name,
        "lessons": len(exam.lessons),
        "questions": counts(exam),
        "prices": asdict(prices),
        "ways": [_way(m, measured[0], money.get(m.way.name), prices) for m in measured],
        "break_even": [asdict(found) for found in break_evens(taught)],
        "accuracy_wanted": wanted,
        "cheapest": best.name if best else None,
        "cheapest_is_sure": surely_cheapest(able, prices.calls),
        "wrong": {
            name: [{"question": r.question.text, "answers": list(r.question.answers),
                    "reply": r.text} for r in replies]
            for name, replies in wrong(measured).items()
        },
    }  # fmt: skip


def _way(m: Measured, base: Measured, money: Way | None, prices: Prices) -> dict[str, Any]:
    found: dict[str, Any] = {"name": m.way.name, "note": m.way.note, "failed": m.failed}
    if money is None:
        return found
    first, seconds = m.middle(lambda r: r.first_seconds)[0], m.middle(lambda r: r.seconds)[0]
    return found | {
        "accuracy": {group: _rate(m.accuracy(group)) for group in GROUPS},
        "learned": _rate(m.accuracy()),
        "exact": _rate(m.exactness()),
        "kept": _rate(kept(base, m)),
        "prompt_tokens": m.middle(lambda r: r.prompt_tokens)[0],
        "answer_tokens": m.middle(lambda r: r.answer_tokens)[0],
        "first_token_seconds": first,
        "answer_seconds": seconds,
        "memory_bytes": m.memory,
        "once_seconds": m.way.seconds,
        "profile_seconds": m.way.profile_seconds,
        "once_joules": (m.way.seconds + m.way.profile_seconds) * prices.watts,
        "once": money.once.value,
        "per_call": asdict(money.per_call),
        "total": asdict(money.total(prices.calls)),
        "bytes": m.way.bytes,
        "add_one_seconds": m.way.add_seconds,
        "remove_one_seconds": m.way.remove_seconds,
    }


def _rate(found: Rate) -> dict[str, float | int | None]:
    low, high = found.interval
    value = found.value if found.total else None
    return {"value": value, "low": low, "high": high, "right": found.hits, "of": found.total}
