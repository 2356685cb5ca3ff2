"""The messages of a chat: turns taken back, system text replaced, files saved and refused."""

from pathlib import Path

import pytest

from homezoo.commands.conversation import Conversation
from homezoo.errors import OptionError


@pytest.fixture
def conversation() -> Conversation:
    made = Conversation("Be brief.")
    made.add("user", "one")
    made.add("assistant", "1")
    made.add("user", "two")
    made.add("assistant", "2")
    return made


def test_undo_takes_back_the_last_turn(conversation: Conversation) -> None:
    assert conversation.undo() == "two"
    assert [message["content"] for message in conversation.messages] == ["Be brief.", "one", "1"]
    assert conversation.undo() == "one"
    with pytest.raises(OptionError, match="nothing has been said yet"):
        conversation.undo()
    assert conversation.system == "Be brief."


def test_the_system_text_stays_first_and_single(conversation: Conversation) -> None:
    conversation.system = "Be long."
    assert [m["role"] for m in conversation.messages].count("system") == 1
    assert conversation.messages[0] == {"role": "system", "content": "Be long."}
    conversation.system = None
    assert conversation.messages[0]["role"] == "user"


def test_what_was_saved_is_loaded(conversation: Conversation, tmp_path: Path) -> None:
    conversation.add("user", "Grüße \N{PARTY POPPER}")
    conversation.save(tmp_path / "talk.json")
    other = Conversation()
    other.load(tmp_path / "talk.json")
    assert other.messages == conversation.messages


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", "is not JSON"),
        (b'{"role": "user"}', "holds no conversation"),
        (b'[{"role": "wizard", "content": "x"}]', "holds no conversation"),
        (b'[{"role": "user", "content": 1}]', "holds no conversation"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_a_file_that_is_no_conversation_changes_nothing(
    conversation: Conversation, tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "talk.json"
    path.write_bytes(content)
    before = list(conversation.messages)
    with pytest.raises(OptionError, match=expected):
        conversation.load(path)
    assert conversation.messages == before
