"""`homezoo compare` and `homezoo demo` with the zookeeper: real answers, real training, real edits.

Training and editing need PyTorch; without it the same commands run what is left.
"""

import importlib.util
import json
from pathlib import Path

import pytest

from homezoo.commands.demo import ZOO
from homezoo.commands.main import main

HAS_TORCH = importlib.util.find_spec("torch") is not None


def test_retrieval_teaches_the_zookeeper_what_changed(tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "report.html"
    arguments = ["--triples", str(ZOO / "news.csv"), "--relations", str(ZOO / "relations.toml")]
    arguments += ["--ways", "retrieved context", "--context-tokens", "40", "--threads", "1"]
    arguments += ["--json", str(figures), "--html", str(page)]
    assert main(["compare", "zookeeper", *arguments]) == 0
    found = json.loads(figures.read_text("utf-8"))
    ways = {way["name"]: way for way in found["ways"]}
    assert found["lessons"] == 42
    assert (
        ways["nothing"]["learned"]["value"]
        < 0.1
        < 0.9
        < ways["retrieved context"]["learned"]["value"]
    )
    assert found["cheapest"] == "retrieved context"
    assert "<svg" in page.read_text("utf-8")


def test_what_is_taught_must_be_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "zookeeper"]) == 1
    assert "give one of --triples, --exam and --docs" in capsys.readouterr().err
    assert main(["compare", "zookeeper", "--triples", str(ZOO / "news.csv")]) == 1
    assert "--triples needs --relations" in capsys.readouterr().err
    given = ["--triples", str(ZOO / "news.csv"), "--relations", str(ZOO / "relations.toml")]
    assert main(["compare", "zookeeper", *given, "--ways", "magic"]) == 1
    assert "unknown way 'magic'" in capsys.readouterr().err


def test_the_demo_tells_the_whole_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--fast", "--folder", str(tmp_path), "--threads", "1"]) == 0
    told = capsys.readouterr().out
    for part in ("1. Talk to it", "2. Something it cannot know", "3. Three ways", "4. Which one"):
        assert part in told
    assert "The penguin eats fish." in told and "I only know the animals of our zoo" in told
    found = json.loads((tmp_path / "report.json").read_text("utf-8"))
    ways = {way["name"]: way for way in found["ways"]}
    assert ways["nothing"]["learned"]["value"] == 0
    assert ways["retrieved context"]["learned"]["value"] > 0.9
    if HAS_TORCH:
        assert ways["training"]["learned"]["value"] > 0.9
        assert ways["editing"]["learned"]["value"] > 0.8
        assert ways["editing"]["kept"]["value"] > 0.8
        assert (tmp_path / "edited.gguf").is_file() and (tmp_path / "trained.gguf").is_file()
    else:
        assert "training" not in ways and "editing" not in ways
