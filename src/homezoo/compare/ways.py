"""The ways to teach a model: what each prepares once, and what it sends along with a question."""

import json
import time
from collections.abc import Sequence
from typing import Any

from homezoo.compare.editing import edit
from homezoo.compare.exam import Exam, Lesson
from homezoo.compare.prepared import (
    BOTH,
    EDITING,
    FULL,
    NOTHING,
    RETRIEVED,
    TRAINING,
    Prepared,
    Settings,
)
from homezoo.context.index import Index
from homezoo.context.ingest import Ingest
from homezoo.context.search import Searcher
from homezoo.errors import HomezooError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.text.tokenizer import Tokenizer


def prepare(name: str, exam: Exam, settings: Settings, made: Sequence[Prepared]) -> Prepared:
    """One way, made ready; `made` are those before it, whose work is used again.

    Raises HomezooError when it cannot be done with this model or these lessons.
    """
    if name == NOTHING:
        return Prepared(NOTHING)
    if name == FULL:
        text = exam.document
        return Prepared(FULL, bytes=len(text.encode()), context=lambda question: text)
    if name == RETRIEVED:
        return _index(exam, settings)
    if name == TRAINING:
        return _train(exam, settings)
    if name == EDITING:
        return edit(exam, settings)
    parts = {way.name: way for way in made}
    if RETRIEVED not in parts or TRAINING not in parts:
        raise HomezooError(f"{BOTH} needs {RETRIEVED} and {TRAINING}, which were not made")
    index, trained = parts[RETRIEVED], parts[TRAINING]
    return Prepared(
        BOTH,
        index.seconds + trained.seconds,
        bytes=index.bytes + trained.bytes,
        add_seconds=index.add_seconds,
        remove_seconds=index.remove_seconds + trained.remove_seconds,
        adapter=trained.adapter,
        context=index.context,
    )


def _index(exam: Exam, settings: Settings) -> Prepared:
    """Documents, one for each lesson's subject, in an index of their words."""
    documents = settings.folder / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    path = settings.folder / "lessons.index"
    path.unlink(missing_ok=True)
    with GGUFFile.open(settings.model) as file:
        tokenizer = Tokenizer.from_metadata(file.metadata)

    def write(lessons: Sequence[Lesson]) -> float:
        begun = time.perf_counter()
        for number, group in enumerate(_by_subject(lessons)):
            text = " ".join(lesson.sentences[0] for lesson in group) + "\n"
            (documents / f"{number:05}.txt").write_text(text, "utf-8")
        Ingest(index, tokenizer.count, settings.passage_tokens).run([str(documents)])
        return time.perf_counter() - begun

    index = Index.create(path)
    less = write(exam.lessons[:-1])
    added = write(exam.lessons)
    removed = write(exam.lessons[:-1])
    write(exam.lessons)
    searcher = Searcher(index)

    def context(question: str) -> str:
        taken, left = [], settings.context_tokens
        for hit in searcher.search(question, 8, "bm25"):
            if hit.tokens > left:
                break
            taken.append(hit.text.strip())
            left -= hit.tokens
        return "\n".join(taken)

    return Prepared(
        RETRIEVED, less + added, 0.0, path.stat().st_size, added, removed, None, context,
        close=index.close,
    )  # fmt: skip


def _by_subject(lessons: Sequence[Lesson]) -> list[list[Lesson]]:
    groups: dict[str, list[Lesson]] = {}
    for number, lesson in enumerate(lessons):
        groups.setdefault(lesson.fact.subject if lesson.fact else str(number), []).append(lesson)
    return list(groups.values())


def training_rows(exam: Exam) -> list[dict[str, Any]]:
    """What is trained on: every question with its answer, or the sentences where there are none."""
    pairs = [pair for lesson in exam.lessons for pair in lesson.pairs]
    if not pairs:
        return [{"text": text} for lesson in exam.lessons for text in lesson.sentences]
    roles = ("user", "assistant")
    return [
        {"messages": [{"role": r, "content": c} for r, c in zip(roles, pair, strict=True)]}
        for pair in pairs
    ]


def _train(exam: Exam, settings: Settings) -> Prepared:
    """LoRA on all linear layers; adding a fact, or taking one away, means training again."""
    from homezoo.train.job import Files, Job
    from homezoo.train.options import TrainingOptions
    from homezoo.train.teach import teaching

    data, out = settings.folder / "lessons.jsonl", settings.folder / "trained.gguf"
    data.write_text("".join(json.dumps(row) + "\n" for row in training_rows(exam)), "utf-8")
    for old in settings.folder.glob("trained.gguf*"):
        old.unlink()
    options = TrainingOptions(
        epochs=settings.epochs, rank=settings.rank, lr=settings.rate, length=256, batch=1
    )
    begun = time.perf_counter()
    with Job(settings.model, data, options) as job, teaching(job, settings.threads) as taught:
        if settings.budget is not None:
            expected = float(taught.estimate()["seconds"])
            if expected > settings.budget:
                raise HomezooError(
                    f"training would take {expected:,.0f} s, more than the budget of "
                    f"{settings.budget:,.0f} s; raise --budget or lower --epochs"
                )
        outcome = taught.train(Files(out), lambda step: None)
        note = f"{outcome.steps} steps, loss {outcome.loss:.3f}"
    seconds = time.perf_counter() - begun
    return Prepared(TRAINING, seconds, 0.0, out.stat().st_size, seconds, seconds, out, note=note)
