"""Licences that hold together: of base and data, as what is made from them states."""

import pytest

from homezoo.formats.adapter_origin import origin_keys
from homezoo.zoo.licence import combine, expression, made_from, report, short_licence
from homezoo.zoo.licence_table import LICENCES, Answer, find_licence
from homezoo.zoo.lineage import trace


def test_licences_that_hold_together_are_one_expression() -> None:
    both = find_licence("Apache-2.0 AND CC-BY-NC-4.0")
    assert both is not None and both.id == "apache-2.0 AND cc-by-nc-4.0"
    assert both.permits.commercial is Answer.NO
    assert {"no commercial use", "say which files were changed"} <= set(both.obligations)
    assert find_licence("mit AND mit") is LICENCES["mit"]
    assert find_licence("mit AND unknown") is None
    assert short_licence("mit AND cc0-1.0") == "mit AND cc0-1.0, commercial use: yes"


@pytest.mark.parametrize(
    ("base", "data", "stated", "found"),
    [
        ("mit", "alpaca_data.json", None, ("mit", "cc-by-nc-4.0", "mit AND cc-by-nc-4.0")),
        ("mit", "notes.jsonl", "MIT", ("mit", "mit", "mit")),
        ("mit", "notes.jsonl", None, ("mit", "unknown", "unknown")),
        ("mit", "notes.jsonl", "ours, ask", ("mit", "ours, ask", "unknown")),
        ("mit", "alpaca.json", "mit", ("mit", "cc-by-nc-4.0 AND mit",
                                       "mit AND cc-by-nc-4.0")),
        ("odd", "notes.jsonl", "mit", ("unknown", "mit", "unknown")),
        ("mit", None, None, ("mit", None, "mit")),
    ],
)  # fmt: skip
def test_what_is_taught_carries_the_licences_of_base_and_data(
    base: str, data: str | None, stated: str | None, found: tuple[str | None, ...]
) -> None:
    licences = made_from({"general.license": base}, {}, "m", data, stated)
    assert (licences.base, licences.data, licences.whole) == found
    keys = origin_keys(base_name="m", data_name=data, licences=licences)
    chain = trace(keys | {"general.type": "adapter"}, {}, "lesson")
    assert chain[-1].role == "adapter" and chain[0].licence == find_licence(licences.base)
    assert expression(chain) == licences.whole or licences.whole != "unknown"
    if "nc" in licences.whole:
        assert combine(chain).commercial is Answer.NO
    if licences.whole == "unknown":
        assert combine(chain).commercial is Answer.UNKNOWN


def test_an_unknown_base_does_not_lift_what_the_data_forbids() -> None:
    licences = made_from({}, {}, "mystery", "alpaca_data.json")
    assert licences.whole == "unknown"
    keys = origin_keys(base_name="mystery", data_name="alpaca_data.json", licences=licences)
    found = report(trace(keys, {}, "lesson"))
    assert found["permits"]["commercial"] == "no" and "mystery" in found["unknown"]
