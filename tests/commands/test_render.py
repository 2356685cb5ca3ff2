"""`homezoo render`: the template's text exactly, and clear errors for files of other content."""

import json
from pathlib import Path

import pytest

from homezoo.commands.main import main

TEMPLATE = (
    "{% if tools %}[{{ tools|length }} tools]{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
MESSAGES = [{"role": "user", "content": "Grüße"}]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.jinja").write_text(TEMPLATE, "utf-8")
    (tmp_path / "m.json").write_text(json.dumps(MESSAGES), "utf-8")
    return tmp_path


def render(*arguments: str) -> int:
    return main(["render", "stories", "--template", "t.jinja", "--messages", *arguments])


def test_the_text_is_exact(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render("m.json") == 0
    assert capsys.readouterr().out == "<user>Grüße\n<assistant>"
    assert render("m.json", "--no-prompt") == 0
    assert capsys.readouterr().out == "<user>Grüße\n"


def test_tools_come_from_a_file_or_with_the_messages(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    (files / "tools.json").write_text(json.dumps(tools))
    (files / "both.json").write_text(json.dumps({"messages": MESSAGES, "tools": tools}))
    assert render("m.json", "--tools", "tools.json") == 0
    first = capsys.readouterr().out
    assert first.startswith("[1 tools]<user>")
    assert render("both.json") == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is not JSON"),
        ('"text"', "holds str as messages"),
        ("[1]", "expected a list of JSON objects"),
        ('{"tools": []}', "holds NoneType as messages"),
    ],
)
def test_other_content_is_refused(
    files: Path, content: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "bad.json").write_text(content)
    assert render("bad.json") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert expected in shown.err


def test_a_model_without_a_template_is_an_error(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", "stories", "--messages", "m.json"]) == 1
    assert "template" in capsys.readouterr().err


def test_a_template_that_refuses_is_one_line(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "t.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    assert render("m.json") == 1
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert "roles must alternate" in shown.err
