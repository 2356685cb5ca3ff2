"""Passages are whole sentences within the budget, and say where they stand."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homezoo.context.document import Document, Section
from homezoo.context.load_text import read_markdown
from homezoo.context.passages import cut, estimate_tokens
from homezoo.context.sentences import line_spans, sentence_spans
from homezoo.formats.gguf_read import GGUFFile
from homezoo.text.tokenizer import Tokenizer

texts = st.text(st.sampled_from("ab. \n!?AB。é🦁\t1)"), max_size=400)


def sentences(text: str) -> list[str]:
    return [text[a:b].strip() for a, b in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith met Mr. J. Doe. They left.", ["Dr. Smith met Mr. J. Doe.", "They left."]),
        ("It costs 3.50 today. Fine.", ["It costs 3.50 today.", "Fine."]),
        ('He said "Stop." Then he went.', ['He said "Stop."', "Then he went."]),
        ("see e.g. the lions. Yes.", ["see e.g. the lions.", "Yes."]),
        ("A heading\n\nthen text", ["A heading", "then text"]),
        ("ライオンは肉を食べる。熊は眠る。", ["ライオンは肉を食べる。", "熊は眠る。"]),
        ("Wait... what? ok", ["Wait... what?", "ok"]),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(texts)
def test_spans_cover_the_text_without_gaps(text: str) -> None:
    for spans in (list(sentence_spans(text)), list(line_spans(text))):
        assert [a for a, _ in spans[1:]] == [b for _, b in spans[:-1]]
        assert "".join(text[a:b] for a, b in spans) == text
        assert all(a < b for a, b in spans)


@given(texts, st.integers(4, 40))
def test_passages_hold_all_that_is_not_space(text: str, budget: int) -> None:
    passages = list(cut(Document("text", text), estimate_tokens, budget))
    for passage in passages:
        assert passage.text == text[passage.start : passage.end] == passage.text.strip() != ""
        assert passage.tokens <= budget
    assert all(a.end <= b.start for a, b in pairwise(passages))
    assert "".join("".join(p.text for p in passages).split()) == "".join(text.split())


def test_a_passage_is_as_many_whole_sentences_as_fit() -> None:
    text = "One two three. Four five six. Seven eight nine. Ten."
    document = Document("text", text)
    passages = list(cut(document, lambda given: [len(t.split()) for t in given], 7))
    assert [p.text for p in passages] == [
        "One two three. Four five six.",
        "Seven eight nine. Ten.",
    ]
    assert [(p.start, p.end, p.tokens) for p in passages] == [(0, 29, 6), (30, 52, 4)]


def test_a_heading_begins_a_passage_and_pages_are_told() -> None:
    document = read_markdown("# Zoo\nLions.\n## Food\nMeat.\n")
    passages = list(cut(document, estimate_tokens, 100))
    assert [(p.text, p.heading) for p in passages] == [
        ("# Zoo\nLions.", "Zoo"),
        ("## Food\nMeat.", "Zoo > Food"),
    ]
    paged = Document("pdf", "First page.\nSecond page.\n", pages=[0, 12])
    assert [p.page for p in cut(paged, estimate_tokens, 5)] == [1, 2]


def test_source_is_cut_between_lines() -> None:
    document = Document("source", "a = 1. + 2\nb = 3\nc = 4\n", [Section(0, ("f",))])
    passages = list(cut(document, lambda given: [1] * len(given), 2))
    assert [p.text for p in passages] == ["a = 1. + 2\nb = 3", "c = 4"]


def test_an_endless_line_is_cut_between_words_and_an_endless_word_anywhere() -> None:
    for text in ("word " * 20_000, "x" * 100_000):
        passages = list(cut(Document("text", text), estimate_tokens, 64))
        assert all(p.tokens <= 64 for p in passages)
        assert sum(len(p.text.split()) for p in passages) in (20_000, len(passages))


def test_the_budget_holds_in_a_models_own_tokens(stories_path: Path) -> None:
    with GGUFFile.open(stories_path) as file:
        tokenizer = Tokenizer.from_metadata(file.metadata)
    root = Path(__file__).resolve().parents[2]
    document = read_markdown((root / "docs" / "run.md").read_text("utf-8"))
    passages = list(cut(document, tokenizer.count, 120))
    assert len(passages) > 20
    assert max(len(tokenizer.encode(p.text)) for p in passages) <= 120
    assert all(len(tokenizer.encode(p.text)) <= p.tokens for p in passages)
