"""Cuts a document into passages: whole sentences within a token budget, each with its place."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from homezoo.context.document import Document
from homezoo.context.sentences import line_spans, sentence_spans

DEFAULT_BUDGET = 200  # tokens: five passages then fit a context of 2,048 beside an answer
SMALLEST_BUDGET = 16
# Characters for each token of the budget from which a sentence is cut before it is counted, so
# that a line without end costs what its length costs.
_LONG = 8

Count = Callable[[Sequence[str]], list[int]]  # tokens of each text


@dataclass(frozen=True)
class Passage:
    """A piece of a document: `text` is its text[start:end], in characters."""

    start: int
    end: int
    text: str
    tokens: int
    heading: str  # "Chapter > Section", or empty
    page: int | None


def estimate_tokens(texts: Sequence[str]) -> list[int]:
    """Tokens by a rule of thumb, for want of a model: one for each three bytes begun."""
    return [-(-len(text.encode()) // 3) for text in texts]


def cut(document: Document, count: Count, budget: int) -> Iterator[Passage]:
    """The passages, in order. A heading begins a new one; none but space is left out.

    Sentences longer than the budget are cut between words, words longer than it anywhere. A
    passage has at most `budget` tokens as `count` counts its sentences one by one.
    """
    spans = list(_spans(document, budget))
    counted = count([document.text[a:b] for a, b in spans])
    pieces = [
        piece
        for span, tokens in zip(spans, counted, strict=True)
        for piece in _within(document.text, span, tokens, count, budget)
    ]
    breaks = {section.start for section in document.sections}
    group: list[tuple[int, int, int]] = []
    total = 0
    for piece in pieces:
        start, _, tokens = piece
        if group and (total + tokens > budget or start in breaks):
            yield from _passage(document, group)
            group, total = [], 0
        group.append(piece)
        total += tokens
    if group:
        yield from _passage(document, group)


def _spans(document: Document, budget: int) -> Iterator[tuple[int, int]]:
    """Sentences, or lines of source, none across a heading and none endless."""
    text = document.text
    split = line_spans if document.kind == "source" else sentence_spans
    edges = [0, *(section.start for section in document.sections), len(text)]
    longest = _LONG * budget
    for start, end in pairwise(edges):
        for a, b in split(text, start, end):
            while b - a > longest:
                middle = _space_before(text, a + longest // 2, a + longest)
                yield a, middle
                a = middle
            yield a, b


def _within(
    text: str, span: tuple[int, int], tokens: int, count: Count, budget: int
) -> Iterator[tuple[int, int, int]]:
    """A span in halves of halves until each is within the budget: start, end, tokens."""
    start, end = span
    if tokens <= budget or end - start == 1:
        yield start, end, tokens
        return
    middle = _space_before(text, start + (end - start) // 4, start + (end - start + 1) // 2)
    for part in ((start, middle), (middle, end)):
        (number,) = count([text[part[0] : part[1]]])
        yield from _within(text, part, number, count, budget)


def _space_before(text: str, low: int, high: int) -> int:
    """The last place in (low, high] right after a space, or `high`."""
    for place in range(high, low, -1):
        if text[place - 1].isspace():
            return place
    return high


def _passage(document: Document, group: list[tuple[int, int, int]]) -> Iterator[Passage]:
    """One passage without the space around it; none when there is nothing else."""
    text = document.text[group[0][0] : group[-1][1]]
    stripped = text.strip()
    if not stripped:
        return
    start = group[0][0] + len(text) - len(text.lstrip())
    heading = " > ".join(document.heading_at(start))
    tokens = sum(tokens for _, _, tokens in group)
    yield Passage(start, start + len(stripped), stripped, tokens, heading, document.page_at(start))
