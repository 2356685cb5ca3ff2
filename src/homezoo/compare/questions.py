"""Questions about documents, written by the model itself and kept only when they test something."""

import random
from collections.abc import Callable
from pathlib import Path

from homezoo.compare.exam import Exam, Lesson, Question
from homezoo.compare.grade import folded, is_right
from homezoo.context.extractor import Extractor
from homezoo.context.ingest import files_under
from homezoo.context.load import kind_of
from homezoo.context.passages import cut
from homezoo.errors import DataError
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions

PASSAGE_TOKENS = 160
MOST_PASSAGES = 60
MOST_ANSWER_WORDS = 8
_WRITE = (
    "{passage}\n\nWrite one question about a fact in this text and its short answer, in two lines "
    "that begin with Question: and Answer:."
)
_REWORD = "Ask the same question in other words, in one line.\nQuestion: {question}"


def exam_of_documents(model: Path, docs: Path, threads: int, note: Callable[[str], None]) -> Exam:
    """Each question is answered right from its passage and wrong without it, or is dropped.

    DataError when none is left: then write an exam yourself, which is the better one anyway.
    """
    with Model.open(model, threads=threads) as opened:
        passages = _passages(opened, docs)
        lessons: list[Lesson] = []
        questions: list[Question] = []
        dropped = 0
        for passage in passages:
            written = _write(opened, passage)
            if written is None or not _tests(opened, passage, *written):
                dropped += 1
                continue
            question, answer = written
            number = len(lessons)
            lessons.append(Lesson((passage,), ((question, answer),)))
            questions.append(Question("taught", question, (answer,), number))
            other = _first_line(_say(opened, _REWORD.format(question=question)), "Question:")
            if other and folded(other) != folded(question):
                questions.append(Question("held-out", other, (answer,), number))
    note(f"{len(lessons)} questions from {len(passages)} passages; {dropped} tested nothing")
    if not lessons:
        raise DataError(
            f"the model wrote no question about {docs} that it answers from the text and not "
            "without it; give an --exam of your own"
        )
    return Exam(tuple(lessons), tuple(questions))


def _passages(model: Model, docs: Path) -> list[str]:
    found = []
    with Extractor() as extractor:
        for path in files_under(docs):
            kind = kind_of(path)
            if kind is None:
                continue
            document = extractor.extract(kind, path.read_bytes())
            texts = cut(
                document,
                model.tokenizer.count,
                PASSAGE_TOKENS,
            )
            found += [passage.text.strip() for passage in texts]
    if not found:
        raise DataError(f"there is no text in {docs}")
    return random.Random(0).sample(found, min(MOST_PASSAGES, len(found)))


def _say(model: Model, text: str) -> str:
    chosen = GenerationOptions(temperature=0.0, max_tokens=96)
    if "tokenizer.chat_template" in model.metadata:
        return model.chat([{"role": "user", "content": text}], chosen).text
    return model.generate(text + "\n", chosen).text


def _first_line(text: str, head: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    chosen = next((line for line in lines if line.startswith(head)), lines[0] if lines else "")
    return chosen.removeprefix(head).strip()


def _write(model: Model, passage: str) -> tuple[str, str] | None:
    said = _say(model, _WRITE.format(passage=passage))
    if "Question:" not in said or "Answer:" not in said:
        return None
    question, answer = _first_line(said, "Question:"), _first_line(said, "Answer:")
    usable = question and answer and len(answer.split()) <= MOST_ANSWER_WORDS
    return (question, answer.rstrip(".")) if usable else None


def _tests(model: Model, passage: str, question: str, answer: str) -> bool:
    """Whether the passage holds the answer, and the bare model does not."""
    if not is_right(passage, [answer]):
        return False
    if not is_right(_say(model, f"{passage}\n{question}"), [answer]):
        return False
    return not is_right(_say(model, question), [answer])
