"""The entry point: help is quick, wrong words and files end in one line without a traceback."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from homezoo.commands.main import WORDS, leaves, main, make_command

HELP_SECONDS = 0.3


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, as a user calls it."""
    return subprocess.run(
        [sys.executable, "-m", "homezoo", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
        check=False,
    )


def test_help_names_every_command_within_its_time() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        result = run("--help")
        seconds.append(time.perf_counter() - start)
    assert result.returncode == 0
    assert all(f"\n  {word} " in result.stdout for word in WORDS)
    assert min(seconds) < HELP_SECONDS  # the least: other work of this machine is not ours


def test_help_imports_no_library() -> None:
    code = (
        "import sys; from homezoo.commands.main import main; main(['--help']);"
        "print(sorted({'numpy', 'typer', 'rich', 'tokenizers', 'jinja2'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_each_word_has_a_module_with_its_help() -> None:
    for word, text in leaves().items():
        assert str(make_command(word).help).startswith(text)


def test_the_page_of_commands_is_current() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "make_cli.py"
    result = subprocess.run(
        [sys.executable, str(page), "--check"], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""


def test_a_wrong_word_is_answered_with_the_near_one() -> None:
    result = run("chta")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "did you mean `chat`?" in result.stderr


def test_no_word_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Usage: homezoo COMMAND" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"homezoo \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "stories", "--jsno"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert "--json" in shown.err
    assert "homezoo info --help" in shown.err


def test_an_unexpected_error_is_one_line_that_tells_of_the_debug_switch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of\ntwo lines")

    monkeypatch.setattr("homezoo.commands.info.find_model", broken)
    assert main(["info", "stories"]) == 1
    expected = "homezoo info: internal error: ZeroDivisionError: of two lines"
    assert capsys.readouterr().err == f"{expected} (HOMEZOO_DEBUG=1 shows where)\n"
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "info", "stories"])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("page.gguf", b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        ("weights.gguf", b"PK\x03\x04" + bytes(60), "zip"),
        ("cut.gguf", b"GGUF\x03\x00\x00\x00\x05", "cut.gguf"),
        ("empty.gguf", b"", "empty"),
    ],
    ids=["html", "zip", "cut", "empty"],
)
def test_a_file_of_another_kind_is_named_in_one_line(
    tmp_path: Path, name: str, content: bytes, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    for word in ("info", "tokenize"):
        assert main([word, str(tmp_path / name)]) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        assert expected in shown.err


def test_output_that_nobody_reads_ends_without_a_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "homezoo", "info", "stories"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors
