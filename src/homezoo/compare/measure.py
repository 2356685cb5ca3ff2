"""Asks every question in every way, and measures what came back and what it took."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from homezoo.compare.exam import GROUPS, Exam, Question
from homezoo.compare.grade import is_exact, is_right
from homezoo.compare.prepared import Prepared
from homezoo.edit.intervals import Rate, rate
from homezoo.errors import ContextError
from homezoo.ops.memory import peak_memory
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions

MOST_TOKENS = 48  # of an answer


@dataclass(frozen=True)
class Reply:
    """An answer and what it cost."""

    question: Question
    text: str
    right: bool
    exact: bool
    prompt_tokens: int
    answer_tokens: int
    first_seconds: float
    seconds: float


@dataclass
class Measured:
    """A way and its replies; `failed` says why it could not be asked."""

    way: Prepared
    replies: list[Reply] = field(default_factory=list)
    failed: str = ""
    memory: int | None = None  # most bytes that this process had resident until then

    def accuracy(self, group: str | None = None) -> Rate:
        """Of a group, or of what was to be learned (taught and held-out)."""
        groups = ("taught", "held-out") if group is None else (group,)
        return rate([reply.right for reply in self.replies if reply.question.group in groups])

    def exactness(self) -> Rate:
        """Replies that are the answer and nothing else, of what was to be learned."""
        return rate([r.exact for r in self.replies if r.question.group != "untouched"])

    def middle(self, figure: Callable[[Reply], float]) -> tuple[float, float, float]:
        """Median of a figure over the replies, and its quartiles below and above."""
        values = sorted(figure(reply) for reply in self.replies)
        if len(values) < 2:
            return (values[0],) * 3 if values else (0.0, 0.0, 0.0)
        low, middle, high = statistics.quantiles(values, n=4)
        return middle, max(low, values[0]), min(high, values[-1])


def ask(model: Model, question: Question, context: str) -> Reply:
    """One greedy answer. Of passages the prompt is: passages, a new line, the question."""
    text = f"{context.strip()}\n{question.text}" if context else question.text
    chosen = GenerationOptions(temperature=0.0, max_tokens=MOST_TOKENS)
    begun, first = time.perf_counter(), 0.0
    if question.continues or "tokenizer.chat_template" not in model.metadata:
        stream = model.stream(text, chosen)
    else:
        stream = model.stream_chat([{"role": "user", "content": text}], chosen)
    for _ in stream:
        first = first or time.perf_counter() - begun
    answer, seconds = stream.answer, time.perf_counter() - begun
    said = answer.text.strip()
    if question.continues:  # the text goes on after the object
        said = said.split("\n")[0].split(". ")[0]
    return Reply(
        question,
        said,
        is_right(said, question.answers),
        is_exact(said, question.answers),
        answer.prompt_tokens,
        len(answer.tokens),
        first or seconds,
        seconds,
    )


def measure(model: Model, way: Prepared, exam: Exam) -> Measured:
    """All replies of one way; the model is as before afterwards."""
    found = Measured(way)
    name = model.attach(way.adapter) if way.adapter is not None else None
    try:
        for question in exam.questions:
            found.replies.append(ask(model, question, way.context(question.text)))
    except ContextError as error:
        found.replies.clear()
        found.failed = str(error)
    finally:
        if name is not None:
            model.detach(name)
    found.memory = peak_memory()
    return found


def kept(base: Measured, other: Measured) -> Rate:
    """Of the untouched questions that the bare model answers right, those that it still does."""
    before = {r.question for r in base.replies if r.right and r.question.group == "untouched"}
    return rate([r.right for r in other.replies if r.question in before])


def counts(exam: Exam) -> dict[str, int]:
    """Questions of each group."""
    return {group: len(exam.of(group)) for group in GROUPS}


def wrong(measured: Sequence[Measured], most: int = 3) -> dict[str, list[Reply]]:
    """Some wrong replies of each way, to look at."""
    return {
        m.way.name: [r for r in m.replies if not r.right and r.question.group != "untouched"][:most]
        for m in measured
    }
