"""`homezoo cost`: the seed's calculation as a command."""

import json
from pathlib import Path
from typing import Any

import pytest

from homezoo.commands.main import main


def asked(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["cost", *options, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_the_seed_example(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--context-tokens", "1000", "--price-per-1k", "0.002", "--training-cost", "100"]
    assert asked(capsys, *options)["break_even_calls"] == 50_000


def test_ranges_totals_and_more_ways(capsys: pytest.CaptureFixture[str]) -> None:
    options = "--context-tokens 800..1000..1200 --editing-cost 5 --retrieved-tokens 100"
    told = asked(capsys, *options.split(), "--calls-per-day", "200", "--horizon", "100")
    assert [way["name"] for way in told["ways"]] == ["context", "training", "retrieval", "editing"]
    context, training = told["ways"][:2]
    assert context["total"] == pytest.approx({"value": 40, "low": 32, "high": 48})
    assert training["total"]["value"] == 100
    pairs = {(pair["first"], pair["later"]): pair for pair in told["break_even"]}
    assert pairs["context", "training"]["low"] == pytest.approx(41_666.6666667)
    assert pairs["context", "training"]["high"] == 62_500
    assert pairs["retrieval", "editing"]["calls"] == 25_000
    assert pairs["editing", "training"]["calls"] is None
    assert told["cheapest"] == "retrieval"  # 20,000 calls of 0.0002 are 4


def test_training_that_never_pays_has_no_break_even(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(capsys, "--trained-call-cost", "1")["break_even_calls"] is None
    assert asked(capsys, "--context-tokens", "0")["break_even_calls"] is None


def test_people_get_a_table_sentences_and_the_picture(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plot = tmp_path / "cost.svg"
    assert main(["cost", "--calls-per-day", "10", "--plot", str(plot)]) == 0
    out = capsys.readouterr().out
    assert "training is cheaper than context from 50,000 calls on" in out
    assert "over 3,650 calls context costs least: $7.30" in out
    assert "✕ at 50,000 calls" in out
    assert "50,000 calls" in plot.read_text("utf-8")


def test_a_wrong_figure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--context-tokens", "many"]) == 1
    assert "'many' is no figure" in capsys.readouterr().err
    assert main(["cost", "--calls-per-day", "0"]) == 1
    assert "expected more than 0" in capsys.readouterr().err
