"""A question answered from an index: search, build the context, answer, point to the places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from homezoo.context.prompt import (
    NOT_FOUND,
    Context,
    build_context,
    cited_numbers,
    says_not_found,
)
from homezoo.context.rerank import question_likelihood, rerank
from homezoo.context.search import Hit, Searcher
from homezoo.errors import ContextError, OptionError

FOUND_FIRST = 20  # passages looked at; the budget decides how many are given


class AnsweringModel(Protocol):
    """What an open Model offers that is used here."""

    @property
    def tokenizer(self) -> Any: ...

    @property
    def context(self) -> int: ...

    @property
    def metadata(self) -> Any: ...

    @property
    def engine(self) -> Any: ...

    def encode_prompt(self, prompt: Any) -> list[int]: ...

    def stream_chat(self, messages: Any, options: Any = None) -> Any: ...

    def stream(self, prompt: Any, options: Any = None) -> Any: ...


@dataclass(frozen=True)
class Citation:
    """A place that the answer rests on. `cited`: the answer itself names it."""

    number: int
    hit: Hit
    cited: bool


@dataclass(frozen=True)
class Reply:
    """`found` is false when the documents do not hold the answer."""

    text: str
    found: bool
    citations: tuple[Citation, ...]
    context: Context
    answer: Any  # run.Answer, or None when no model was asked


def default_budget(context: int) -> int:
    """Tokens of passages: half of what the model's context holds, at most 1,500."""
    return min(1500, context // 2)


def prepare(
    searcher: Searcher,
    model: AnsweringModel,
    question: str,
    way: str,
    budget: int | None,
    reranked: bool = False,
) -> Context:
    """The passages for a question, within the budget; `reranked` by the answering model itself.

    Raises OptionError for an empty question or a budget beyond the model's context, ContextError
    when no passage fits the budget.
    """
    if not question.strip():
        raise OptionError("the question is empty; give one")
    allowed = default_budget(model.context) if budget is None else budget
    if not 0 < allowed < model.context:
        raise OptionError(
            f"the budget is {allowed} tokens and the model's context {model.context}; "
            "give a budget below it, or a larger --context"
        )
    hits = searcher.search(question, FOUND_FIRST, way)
    if reranked:
        hits = rerank(question, hits, lambda text, q: question_likelihood(model, text, q))
    context = build_context(question, hits, lambda text: len(model.tokenizer.encode(text)), allowed)
    if hits and not context.hits:
        raise ContextError(
            f"none of the {len(hits)} passages found fits the budget of {allowed} tokens (the best "
            f"has about {hits[0].tokens}); give a larger --budget or --context"
        )
    return context


def start(model: AnsweringModel, context: Context, options: Any) -> Any:
    """The stream of the answer; all of the message is plain text, whatever it spells."""
    if "tokenizer.chat_template" in model.metadata:
        return model.stream_chat([{"role": "user", "content": context.message}], options)
    return model.stream(f"{context.message}\nAnswer:", options)


def finish(context: Context, answer: Any) -> Reply:
    """The answer with its places. An answer that names none rests on all that it was given."""
    text = answer.text.strip()
    found = not says_not_found(text)
    named = cited_numbers(text, len(context.hits)) if found else []
    numbers: Sequence[int] = named or (range(1, len(context.hits) + 1) if found else [])
    citations = tuple(Citation(n, context.hits[n - 1], n in named) for n in numbers)
    return Reply(text, found, citations, context, answer)


def nothing_found(context: Context) -> Reply:
    """The reply when no passage has a word of the question: no model need be asked."""
    return Reply(NOT_FOUND, False, (), context, None)
