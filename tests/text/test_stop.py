"""Stop strings end an answer where they begin, and no part of one is ever shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homezoo.errors import OptionError
from homezoo.text.stop import StopStrings


def oracle(text: str, stops: list[str]) -> tuple[str, bool]:
    """The whole text cut before the stop string that is complete first, by looking at every end."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


@given(
    st.lists(st.text("ab", max_size=6), max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=5), max_size=4),
)
def test_pieces_give_what_the_whole_text_gives(pieces: list[str], stops: list[str]) -> None:
    watch = StopStrings(stops)
    shown, stopped = "", False
    wanted, stops_there = oracle("".join(pieces), stops)
    for piece in pieces:
        more, stopped = watch.push(piece)
        shown += more
        assert wanted.startswith(shown), "nothing shown is ever taken back"
        if stopped:
            break
    shown += watch.finish()
    assert (shown, stopped) == (wanted, stops_there)


def test_what_cannot_become_a_stop_string_is_shown_at_once() -> None:
    watch = StopStrings(["\nUser:"])
    assert watch.push("hello") == ("hello", False)
    assert watch.push("\nU") == ("", False)
    assert watch.push("x") == ("\nUx", False)
    assert watch.push("\nUse") == ("", False)
    assert watch.push("r: more") == ("", True)
    assert watch.push("more") == ("", True)
    assert watch.finish() == ""


def test_one_string_and_none() -> None:
    assert StopStrings("END").push("an END") == ("an ", True)
    assert StopStrings([]).push("text") == ("text", False)


def test_an_empty_stop_string_is_an_error() -> None:
    with pytest.raises(OptionError, match="empty"):
        StopStrings(["a", ""])
