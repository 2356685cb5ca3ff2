"""`homezoo tokenize`: ids on one line, control tokens only where asked for, text taken exactly."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from homezoo.commands.main import main

Ids = Callable[..., list[int]]


@pytest.fixture
def ids(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ids:
    """Ids of text on standard input."""

    def run(text: str, *options: str, model: str = "stories") -> list[int]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert main(["tokenize", model, "--ids", *options]) == 0
        shown = capsys.readouterr().out
        assert shown.count("\n") == 1
        return [int(token) for token in shown.split()]

    return run


def test_ids_without_and_with_the_first_token(ids: Ids) -> None:
    plain = ids("Once upon a time")
    assert len(plain) > 1
    assert ids("Once upon a time", "--bos") == [1, *plain]


def test_control_tokens_are_plain_text_unless_asked_for(ids: Ids) -> None:
    assert 2 not in ids("</s>")
    assert 2 in ids("</s>", "--special")


def test_a_last_line_break_counts(ids: Ids) -> None:
    assert len(ids("a\n")) == len(ids("a")) + 1


def test_no_text_is_an_empty_line(ids: Ids) -> None:
    assert ids("") == []


def test_a_vocabulary_without_weights_will_do(ids: Ids, shared_data: Path) -> None:
    model = shared_data / "vocab" / "ggml-vocab-llama-spm.gguf"
    assert ids("Hello world", model=str(model)) == [15043, 3186]


def test_pieces_are_shown_with_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenize", "stories", "a cat"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split("\t")[0].isdigit() for line in lines)
    assert "".join(line.split("\t")[1].strip("'") for line in lines).strip() == "a cat"
