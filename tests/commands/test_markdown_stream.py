"""Markdown shown while it is written: nothing is lost, code is not cut, tags are text."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from homezoo.commands.markdown_stream import MarkdownStream, split_finished


def shown(*pieces: str) -> str:
    """What remains on a terminal of 60 columns, without styles."""
    file = io.StringIO()
    console = Console(file=file, width=60, height=20, force_terminal=False)
    with MarkdownStream(console) as stream:
        for piece in pieces:
            stream.push(piece)
    return file.getvalue()


def test_blocks_are_printed_once_each() -> None:
    text = shown("# Head\n", "\nFirst par", "agraph.\n\nSec", "ond.")
    assert text.count("Head") == text.count("First paragraph.") == text.count("Second.") == 1
    assert text.index("Head") < text.index("First") < text.index("Second")


def test_a_code_block_is_not_cut_at_its_blank_lines() -> None:
    assert split_finished("```python\na = 1\n\nb = 2") == ("", "```python\na = 1\n\nb = 2")
    assert split_finished("```\na\n\nb\n```\n\nafter") == ("```\na\n\nb\n```", "after")


def test_tags_stay_visible() -> None:
    assert "<think>" in shown("<think> hm </think> yes <b>bold</b>")


def test_links_show_where_they_lead() -> None:
    assert "https://example.org/x" in shown("[a bank](https://example.org/x)")


def test_escape_sequences_of_the_model_are_not_passed_on() -> None:
    assert "\x1b" not in shown("a \x1b]0;title\x07 b \x1b[2J")


@given(st.lists(st.sampled_from(["a", "\n", "\n\n", "```", "~~~\n", "* b"])).map("".join))
def test_splitting_loses_nothing_but_blank_lines(text: str) -> None:
    finished, rest = split_finished(text)
    assert (finished + rest).replace("\n", "") == text.replace("\n", "")
    assert text.startswith(finished)
    assert text.endswith(rest)
