"""`--adapter FILE[:SCALE]` on run, chat, perplexity and bench."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from adapters import random_adapter

from homezoo.commands.adapters import split_scale
from homezoo.commands.main import main
from homezoo.formats.adapter_file import read_adapter, write_adapter
from homezoo.run.bundled import STORIES
from homezoo.run.model import Model
from homezoo.zoo.peft_write import write_peft

GREEDY = ("--raw", "--temperature", "0", "--max-tokens", "20", "--json")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapter") / "lesson.gguf"
    with Model.open(STORIES) as model:
        write_adapter(path, random_adapter(model.engine.model, alpha=0.6, ending="attn_output"))
    return path


def ask(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert main(["run", "stories", "The cat", *GREEDY, *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_run_uses_it_at_the_scale_given(capsys: Capture, lesson: Path) -> None:
    base = ask(capsys)
    assert "adapters" not in base
    taught = ask(capsys, "--adapter", str(lesson))
    assert taught["adapters"] == {"lesson": 1.0} and taught["text"] != base["text"]
    assert ask(capsys, "--adapter", f"{lesson}:0")["text"] == base["text"]
    opposite = ask(capsys, "--adapter", str(lesson), "--adapter", f"{lesson}:-1")
    assert opposite["adapters"] == {"lesson": 1.0, "lesson-2": -1.0}


def test_a_peft_folder_is_the_same_as_its_file(
    capsys: Capture, lesson: Path, tmp_path: Path
) -> None:
    with Model.open(STORIES) as model:
        write_peft(tmp_path / "peft", read_adapter(lesson), model.config, "owner/base")
    found = ask(capsys, "--adapter", f"{tmp_path / 'peft'}:0.5")
    assert found["adapters"] == {"peft": 0.5}
    assert found["text"] == ask(capsys, "--adapter", f"{lesson}:0.5")["text"]


def test_chat_uses_it(
    capsys: Capture, lesson: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.jinja").write_text("{{ messages[0].content }}")
    options = ["--template", str(tmp_path / "t.jinja"), "--no-history", *GREEDY[1:5]]
    said = []
    for extra in ([], ["--adapter", str(lesson)]):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"The cat\n")))
        assert main(["chat", "stories", *options, *extra]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] != said[1]


def test_perplexity_and_bench_use_it(capsys: Capture, lesson: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Once upon a time there was a cat. " * 30)
    found = []
    for extra in ([], ["--adapter", str(lesson)]):
        text = str(tmp_path / "text.txt")
        assert main(["perplexity", "stories", text, "--context", "64", "--json", *extra]) == 0
        found.append(json.loads(capsys.readouterr().out)["perplexity"])
    assert found[1] != found[0]
    small = ["--prompt", "8", "--generate", "4", "--repeats", "1", "--json"]
    assert main(["bench", "stories", *small, "--adapter", str(lesson)]) == 0
    assert json.loads(capsys.readouterr().out)["generated_tokens"] == 4


def test_a_scale_is_what_follows_the_last_colon(tmp_path: Path) -> None:
    assert split_scale("a.gguf") == (Path("a.gguf"), 1.0)
    assert split_scale("a.gguf:0.5") == (Path("a.gguf"), 0.5)
    (tmp_path / "a:2").write_text("")
    assert split_scale(str(tmp_path / "a:2")) == (tmp_path / "a:2", 1.0)
    assert split_scale(f"{tmp_path / 'a:2'}:3") == (tmp_path / "a:2", 3.0)
