"""`homezoo chat` with typed lines: turns, words, errors and Ctrl-C that do not end it."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from homezoo.commands import chat
from homezoo.commands.line_editor import LineEditor, state_folder
from homezoo.commands.main import main

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
Talk = Callable[..., list[dict[str, str]]]


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Types lines, and gives the messages of the conversation at the end."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    template = tmp_path / "plain.jinja"
    template.write_text(TEMPLATE)

    def run(*lines: str, options: tuple[str, ...] = ()) -> list[dict[str, str]]:
        saved = tmp_path / "saved.json"
        typed = "\n".join([*lines, f"/save {saved}", "/exit", "never said"])
        monkeypatch.setattr("sys.stdin", io.StringIO(typed + "\n"))
        greedy = ("--temperature", "0", "--max-tokens", "12", "--template", str(template))
        assert main(["chat", "stories", *greedy, *options]) == 0
        messages: list[dict[str, str]] = json.loads(saved.read_text("utf-8"))
        return messages

    return run


def roles(messages: list[dict[str, str]]) -> str:
    return " ".join(message["role"] for message in messages)


def test_turns_alternate_and_answers_are_on_standard_output(
    talk: Talk, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = talk("Hello", "Once more", options=("--system", "Tell stories."))
    assert roles(messages) == "system user assistant user assistant"
    answers = [m["content"] for m in messages if m["role"] == "assistant"]
    assert capsys.readouterr().out == "".join(answer + "\n" for answer in answers)


def test_a_second_turn_computes_only_what_is_new(
    talk: Talk, capsys: pytest.CaptureFixture[str]
) -> None:
    talk("A cat sat on the mat and saw a big red ball.", "And?")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[prompt")]
    prompts = [int(line.split()[1]) for line in lines]
    known = re.search(r"\((\d+) of them known\)", lines[1])
    assert "known" not in lines[0]
    assert known is not None
    assert int(known[1]) >= prompts[0] - 1  # but the last token, whose logits begin the answer


def test_undo_and_retry(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    messages = talk("one", "two", "/undo", "/retry")
    assert roles(messages) == "user assistant"
    assert messages[0]["content"] == "one"
    out = capsys.readouterr().out.splitlines()
    assert out[0] == messages[1]["content"].splitlines()[0]


def test_system_clear_and_load(talk: Talk, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    messages = talk("/system Be kind.", "hi", f"/save {kept}", "/clear")
    assert messages == [{"role": "system", "content": "Be kind."}]
    assert roles(talk(f"/load {kept}", "more")) == "system user assistant user assistant"


def test_errors_do_not_end_the_conversation(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ("/nothing", "/undo", "/load nowhere.json", "/save", "word " * 400, "hi")
    assert roles(talk(*lines)) == "user assistant"
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error:")]
    assert len(errors) == 5
    assert "/help" in errors[0]
    assert "nothing has been said yet" in errors[1]
    assert "nowhere.json" in errors[2]
    assert "needs the name of a file" in errors[3]
    assert "and the context 512" in errors[4]


def test_a_line_that_ends_in_a_backslash_goes_on(talk: Talk) -> None:
    assert talk("first\\", "second")[0]["content"] == "first\nsecond"


def test_help_lists_every_word(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("/help")
    shown = capsys.readouterr().err
    for word in ("/help", "/system", "/save", "/load", "/retry", "/undo", "/clear", "/exit"):
        assert f"  {word}" in shown


def test_interrupting_stops_the_answer_and_not_the_program(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces: list[str] = []

    def interrupted(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(chat, "write", interrupted)
    messages = talk("Hello", "again")
    assert roles(messages) == "user assistant user assistant"
    assert messages[1]["content"] == "".join(pieces[:3])
    assert "ended by Ctrl-C" in capsys.readouterr().err


def test_a_model_without_a_template_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "stories"]) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "homezoo run --raw" in shown


def test_history_is_kept_for_this_user_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("readline", reason="this system's console keeps its own history")
    import readline

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    history = tmp_path / "deep" / "history"
    editor = LineEditor(history)
    readline.add_history("said before")
    editor.close()
    assert "said before" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
    readline.clear_history()
    LineEditor(history)
    assert readline.get_history_item(1) == "said before"
    readline.clear_history()


def test_the_state_folder_is_the_systems_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "homezoo"
