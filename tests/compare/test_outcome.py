"""From replies to rates, money and the report, against figures worked out by hand."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from homezoo.compare.exam import Exam, Lesson, Question
from homezoo.compare.measure import Measured, Reply, kept
from homezoo.compare.outcome import Prices, as_object, priced
from homezoo.compare.prepared import Prepared
from homezoo.compare.report import answer_of, crossing, write_html

TAUGHT = Question("taught", "Who?", ("Ada",), 0)
HELD = Question("held-out", "By whom <b>?", ("Ada",), 0)
OTHER = Question("untouched", "2 + 2?", ("4",))
EXAM = Exam((Lesson(("Ada did it.",)),), (TAUGHT, HELD, OTHER))
PRICES = Prices(watts=36.0, kilowatt_hour=0.25, calls_per_day=10, days=100)


def measured(name: str, right: tuple[bool, bool, bool], seconds: float, once: float) -> Measured:
    replies = [
        Reply(question, "Ada" if ok else "<i>Eve", ok, ok, 10, 2, seconds / 2, seconds)
        for question, ok in zip(EXAM.questions, right, strict=True)
    ]
    return Measured(Prepared(name, seconds=once), replies)


BASE = measured("nothing", (False, False, True), 1.0, 0.0)
CONTEXT = measured("full context", (True, True, True), 4.0, 0.0)
TRAINED = measured("training", (True, False, False), 1.0, 3000.0)
ALL = [BASE, CONTEXT, TRAINED]


def test_rates_and_what_was_kept() -> None:
    assert [m.accuracy().value for m in ALL] == [0.0, 1.0, 0.5]
    assert [kept(BASE, m).value for m in ALL] == [1.0, 1.0, 0.0]


def test_money_is_electricity_of_the_seconds_that_were_measured() -> None:
    # 36 W for a second are 36 J = 1e-5 kWh, at 0.25 a kWh.
    ways = {way.name: way for way in priced(ALL, PRICES)}
    assert ways["full context"].per_call.value == pytest.approx(4 * 36 / 3.6e6 * 0.25)
    assert ways["training"].once.value == pytest.approx(3000 * 36 / 3.6e6 * 0.25)
    found = as_object(Path("m.gguf"), EXAM, ALL, PRICES, None)
    # Training costs 3000 s once and saves 3 s a call: it is even after 1,000 calls.
    assert [(b["first"], b["later"], round(b["calls"])) for b in found["break_even"]] == [
        ("full context", "training", 1000)
    ]
    assert found["cheapest"] == "full context"  # of two that cost the same, the more accurate
    json.dumps(found, allow_nan=False)


def test_hosted_prices_count_tokens_instead() -> None:
    hosted = Prices(36.0, 0.25, per_1k_tokens=0.002)
    assert priced([CONTEXT], hosted)[0].per_call.value == pytest.approx(12 / 1000 * 0.002)


def test_a_wanted_accuracy_leaves_out_what_does_not_reach_it() -> None:
    cheap = Prices(36.0, 0.25, calls_per_day=1000, days=365)
    assert as_object(Path("m"), EXAM, ALL, cheap, 0.5)["cheapest"] == "training"
    near = as_object(Path("m"), EXAM, ALL, cheap, None)  # half right is not near the best
    assert near["cheapest"] == "full context" and "near the best" in answer_of(near, cheap)
    assert as_object(Path("m"), EXAM, ALL, cheap, 1.1)["cheapest"] is None
    found = as_object(Path("m"), EXAM, ALL, cheap, 0.9)
    assert found["cheapest"] == "full context"
    assert "reaches 90%" in answer_of(found, cheap)


class Outside(HTMLParser):
    """Collects addresses that a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {key}" for key, _ in attrs if key in ("src", "href", "data")]


def test_the_report_fetches_nothing_and_escapes_what_models_say() -> None:
    failed = Measured(Prepared("editing"), failed="no <facts>")
    found = as_object(Path("m.gguf"), EXAM, [*ALL, failed], PRICES, None)
    page = write_html(found, priced(ALL, PRICES), PRICES)
    reader = Outside()
    reader.feed(page)
    assert reader.found == [] and "url(" not in page and "<script" not in page
    assert "&lt;i&gt;Eve" in page and "<i>Eve" not in page and "no &lt;facts&gt;" in page
    assert len(re.findall(r"<svg", page)) == 2 and "1,000" in page
    assert crossing(found["break_even"][0]).startswith("from 1,000 calls on, training costs less")


def test_the_finding_says_what_the_most_accurate_way_spoils() -> None:
    spoiling = measured("retrieved context", (True, True, False), 1.0, 0.0)
    gentle = measured("editing", (True, True, True), 1.0, 10.0)
    found = as_object(Path("m"), EXAM, [BASE, spoiling, gentle], PRICES, None)
    assert "before it keeps 0%; editing keeps 100%, with 100% right" in answer_of(found, PRICES)
    found = as_object(Path("m"), EXAM, [BASE, gentle, spoiling], PRICES, None)
    assert "keeps" not in answer_of(found, PRICES)
