"""`homezoo perplexity` against a plain computation, and the figures of `homezoo bench`."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from homezoo.commands.main import main
from homezoo.commands.perplexity import estimate
from homezoo.ops.memory import private_memory
from homezoo.run.model import Model

TEXT = "Once upon a time, there was a little girl named Lily. She loved to play in the park. " * 12


def test_perplexity_is_that_of_the_second_halves(
    tmp_path: Path, stories_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, window = tmp_path / "text.txt", 64
    path.write_text(TEXT)
    assert main(["perplexity", "stories", str(path), "--context", str(window), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    losses = []
    with Model.open(stories_path) as model:
        tokens = [1, *model.tokenizer.encode(TEXT)]
        for start in range(0, len(tokens) - window + 1, window):
            ids = [1, *tokens[start + 1 : start + window]]
            logits = model.logits(ids).astype(np.float64)
            for place in range(window // 2, window - 1):
                row = logits[place] - logits[place].max()
                losses.append(np.log(np.exp(row).sum()) - row[ids[place + 1]])
    assert found["tokens"] == len(losses)
    assert found["chunks"] == len(tokens) // window
    assert found["perplexity"] == pytest.approx(np.exp(np.mean(losses)), rel=1e-6)
    spread = np.std(losses, ddof=1) / np.sqrt(len(losses))
    assert found["error"] == pytest.approx(np.exp(np.mean(losses)) * spread, rel=1e-6)


def test_the_error_is_one_standard_deviation_of_the_estimate() -> None:
    random = np.random.default_rng(1)
    figures = [estimate(random.gamma(2.0, 1.0, 400), 1, 1) for _ in range(400)]
    measured = np.std([figure.perplexity for figure in figures])
    assert np.mean([figure.error for figure in figures]) == pytest.approx(measured, rel=0.15)


def test_a_text_shorter_than_a_window_gives_both_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.txt").write_text("too short")
    assert main(["perplexity", "stories", str(tmp_path / "short.txt")]) == 1
    assert "tokens and a window 512" in capsys.readouterr().err


def test_fewer_windows_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    arguments = ["--context", "32", "--chunks", "2"]
    assert main(["perplexity", "stories", str(tmp_path / "text.txt"), *arguments]) == 0
    assert "(30 tokens counted in 2 windows of 32)" in capsys.readouterr().out


def test_bench_gives_the_figures_that_programs_rely_on(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--prompt", "64", "--generate", "16", "--threads", "2", "--json"]
    assert main(["bench", "stories", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    low, high = found["prefill_range"]
    assert 0 < low <= found["prefill_tokens_per_second"] <= high
    low, high = found["decode_range"]
    assert 0 < low <= found["decode_tokens_per_second"] <= high
    assert 0 < found["load_seconds"] < 10
    assert found["threads"] == 2
    if sys.platform == "linux":
        assert found["private_bytes"] > 1_000_000


def test_bench_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "stories", "--prompt", "8", "--generate", "4", "--repeats", "1"]) == 0
    shown = capsys.readouterr().out
    for word in ("threads", "load", "prefill   8 tokens", "decode    4 tokens", "memory"):
        assert word in shown


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells private memory simply")
def test_private_memory_grows_with_what_is_allocated() -> None:
    before = private_memory()
    block = np.ones(20_000_000, np.uint8)
    after = private_memory()
    assert before is not None
    assert after is not None
    assert 19_000_000 < after - before < 40_000_000
    assert block.sum() == 20_000_000


def test_bench_measures_the_machine_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--limits", "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threads"] == 1
    assert found["read_bytes_per_second"] > 1e8
    assert found["int8_per_second"] > 1e8
    assert found["fp32_per_second"] > 1e7


def test_bench_without_model_or_limits_says_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench"]) != 0
    assert "no MODEL given" in capsys.readouterr().err


def test_bench_measures_several_contexts(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--contexts", "8,16", "--generate", "4", "--repeats", "1", "--json"]
    assert main(["bench", "stories", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["prompt_tokens"] for row in found["contexts"]] == [8, 16]
    assert found["prompt_tokens"] == 16
