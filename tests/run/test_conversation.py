"""Messages stay in order, are saved whole or not at all, loaded only from what holds some."""

import json
from pathlib import Path
from typing import Any

import pytest

from homezoo.errors import OptionError
from homezoo.run.conversation import Conversation


@pytest.fixture
def conversation() -> Conversation:
    talk = Conversation("Be brief.")
    for said, answer in (("one", "1"), ("two", "2")):
        talk.add("user", said)
        talk.add("assistant", answer)
    return talk


def test_undo_takes_back_one_turn_at_a_time(conversation: Conversation) -> None:
    assert conversation.undo() == "two"
    assert conversation.undo() == "one"
    with pytest.raises(OptionError, match="nothing has been said"):
        conversation.undo()
    assert conversation.system == "Be brief."


def test_the_system_text_stays_first_and_single(conversation: Conversation) -> None:
    conversation.system = "Be long."
    assert [message["role"] for message in conversation.messages].count("system") == 1
    assert conversation.messages[0]["content"] == "Be long."
    conversation.system = None
    assert conversation.messages[0]["role"] == "user"


def test_what_was_saved_is_loaded(conversation: Conversation, tmp_path: Path) -> None:
    conversation.add("user", "Grüße \N{PARTY POPPER}\n")
    conversation.save(tmp_path / "talk.json")
    other = Conversation()
    other.load(tmp_path / "talk.json")
    assert other.messages == conversation.messages
    assert [path.name for path in tmp_path.iterdir()] == ["talk.json"]


def test_a_save_that_fails_leaves_the_old_file(
    conversation: Conversation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "talk.json"
    conversation.save(path)
    before = path.read_bytes()
    conversation.add("user", "more")

    def disk_full(file: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", disk_full)
    with pytest.raises(OSError, match="no space"):
        conversation.save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe", "not JSON"),
        (b'[{"role": "user"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"role": "user", "content": "x"}', "not a list"),
        (b'["hello"]', "expected role and content"),
        (b'[{"role": "wizard", "content": "x"}]', "'wizard'"),
        (b'[{"role": "user", "content": 3}]', "content of a message is 3"),
        (b'[{"role": "user"}]', "content of a message is None"),
    ],
)
def test_a_file_of_something_else_is_an_error_and_changes_nothing(
    conversation: Conversation, tmp_path: Path, data: bytes, message: str
) -> None:
    (tmp_path / "wrong.json").write_bytes(data)
    before = list(conversation.messages)
    with pytest.raises(OptionError, match=message):
        conversation.load(tmp_path / "wrong.json")
    assert conversation.messages == before


def test_the_file_is_a_plain_list_of_messages(conversation: Conversation, tmp_path: Path) -> None:
    conversation.save(tmp_path / "talk.json")
    assert json.loads((tmp_path / "talk.json").read_text("utf-8")) == conversation.messages


@pytest.mark.parametrize("message", ["hello", {"role": "user"}, {"content": "x"}])
def test_only_messages_are_taken(message: Any) -> None:
    with pytest.raises(OptionError):
        Conversation(messages=[message])
