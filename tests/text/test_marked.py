"""Marked text is the string it would be without marks, and every character keeps its own."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homezoo.text.marked import MarkedText, holds_marked, join_text, marks_of, substitute

LETTERS = "ab \n\t."
OPERATIONS: dict[str, Callable[[str], Any]] = {
    "strip": lambda t: t.strip(),
    "strip chars": lambda t: t.strip("a."),
    "lstrip": lambda t: t.lstrip(),
    "rstrip": lambda t: t.rstrip(),
    "split": lambda t: t.split(),
    "split once": lambda t: t.split(None, 1),
    "split at": lambda t: t.split("a"),
    "split at once": lambda t: t.split("ab", 1),
    "rsplit": lambda t: t.rsplit(None, 1),
    "rsplit at": lambda t: t.rsplit("b", 1),
    "splitlines": lambda t: t.splitlines(),
    "splitlines with ends": lambda t: t.splitlines(True),
    "partition": lambda t: t.partition("b"),
    "rpartition": lambda t: t.rpartition("b"),
    "removeprefix": lambda t: t.removeprefix("a"),
    "removesuffix": lambda t: t.removesuffix("b"),
    "slice": lambda t: t[1:-1],
    "reverse": lambda t: t[::-1],
    "characters": lambda t: list(t),
    "upper": lambda t: t.upper(),
    "title": lambda t: t.title(),
    "capitalize": lambda t: t.capitalize(),
    "swapcase": lambda t: t.swapcase(),
    "lower": lambda t: t.lower(),
    "repeat": lambda t: t * 3,
    "repeated": lambda t: 2 * t,
    "add": lambda t: t + "xy",
    "added": lambda t: "xy" + t,
    "replace": lambda t: t.replace("ab", "x"),
    "replace once": lambda t: t.replace("a", "xyz", 1),
    "join": lambda t: t.join(["x", "y", "z"]),
    "str": str,
}


@st.composite
def marked(draw: st.DrawFn) -> MarkedText:
    text = draw(st.text(LETTERS, max_size=20))
    return MarkedText(text, bytes(draw(st.lists(st.integers(0, 1), min_size=len(text),
                                                max_size=len(text)))))  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@given(text=marked())
def test_operations_give_the_same_text_with_marks(
    operation: Callable[[str], Any], text: MarkedText
) -> None:
    found, wanted = operation(text), operation(str.__str__(text))
    assert found == wanted
    for part in found if isinstance(found, (list, tuple)) else [found]:
        assert len(marks_of(part)) == len(part)


@given(marked(), marked(), st.lists(marked() | st.text(LETTERS), max_size=4))
def test_joined_texts_keep_their_marks(a: MarkedText, b: MarkedText, parts: list[str]) -> None:
    assert marks_of(a + b) == a.marks + b.marks
    assert marks_of(join_text(a, parts)) == a.marks.join(map(marks_of, parts))


@given(marked(), st.integers(0, 20), st.integers(0, 20))
def test_a_part_of_a_text_has_the_marks_of_its_place(text: MarkedText, a: int, b: int) -> None:
    assert marks_of(text[a:b]) == text.marks[a:b]
    start = len(text) - len(str.lstrip(text))
    assert marks_of(text.strip()) == text.marks[start : start + len(str.strip(text))]
    at = 0
    for part in text.split("a"):
        assert marks_of(part) == text.marks[at : at + len(part)]
        at += len(part) + 1
    at = 0
    for line in text.splitlines(keepends=True):
        assert marks_of(line) == text.marks[at : at + len(line)]
        at += len(line)


def test_a_pattern_of_the_templates_own_keeps_its_characters() -> None:
    text = substitute(lambda texts: "<|{}|>{}".format(*texts), ["user", MarkedText("<|x|>")])
    assert text == "<|user|><|x|>" and marks_of(text) == b"\0" * 8 + b"\1" * 5
    cut = substitute(lambda texts: "{:.2}!".format(*texts), [MarkedText("hello")])
    assert cut == "he!" and all(marks_of(cut)), "in doubt all of it is from outside"


def test_texts_are_found_at_any_depth() -> None:
    assert holds_marked({"a": [("b", {1: MarkedText("c")})]})
    assert holds_marked({MarkedText("key"): 1}) and holds_marked({"a": MarkedText("b")}.values())
    assert not holds_marked([1, None, {"a": ["b"]}, MarkedText("", b""), MarkedText("a", b"\0")])
