"""The exam: what is taught, and the questions that every way to teach has to answer.

Questions are of three groups: `taught` in a wording that was taught, `held-out` about the same in
wordings that no way was taught with, `untouched` about what the model knew before and should keep.
"""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homezoo.edit.facts import Fact, OnConflict, make_facts, read_graph
from homezoo.edit.relations import Relation, Relations
from homezoo.errors import DataError

GROUPS = ("taught", "held-out", "untouched")
_OBJECT_END = "."


@dataclass(frozen=True)
class Question:
    """A question; any of `answers` in the reply is right. `lesson` is what it is about."""

    group: str
    text: str
    answers: tuple[str, ...]
    lesson: int = -1
    continues: bool = False  # a text to be continued, not a question to be chatted


@dataclass(frozen=True)
class Lesson:
    """One thing to teach: sentences that state it, questions with their answers, its fact."""

    sentences: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()  # question and answer, to train on
    fact: Fact | None = None


@dataclass(frozen=True)
class Exam:
    """Lessons, and questions about them and about other things."""

    lessons: tuple[Lesson, ...]
    questions: tuple[Question, ...]
    relations: Relations = field(default_factory=Relations)
    known: tuple[Fact, ...] = ()  # facts the model may know: editing protects them

    @property
    def document(self) -> str:
        """All lessons as a text, each in its first sentence, one a line."""
        return "\n".join(lesson.sentences[0] for lesson in self.lessons) + "\n"

    def of(self, group: str) -> list[Question]:
        """Its questions."""
        return [question for question in self.questions if question.group == group]


def read_facts(path: Path, relations: Relations, on_conflict: OnConflict = "error") -> list[Fact]:
    """The facts of a graph file whose predicates the relation file has; FactError, DataError."""
    triples, labels, notes = read_graph(path)
    chosen = [triple for triple in triples if triple.predicate in relations.known]
    facts = make_facts(chosen, labels, relations, "assert", notes, on_conflict)
    if not facts:
        raise DataError(
            f"{path} has no facts in predicates of the relation file; it has {len(triples)} "
            f"triples, and the file knows {', '.join(sorted(relations.known)) or 'none'}"
        )
    return facts


def exam_of_facts(
    facts: Sequence[Fact], relations: Relations, known: Sequence[Fact] = (), most: int = 200
) -> Exam:
    """Questions about facts, from the templates of their relations.

    Of a relation's wordings and questions the later half is held out. `known` are facts of which up
    to `most` are asked as untouched; those that are about to change are left out.
    """
    lessons: list[Lesson] = []
    questions: list[Question] = []
    for fact in facts:
        number, relation = len(lessons), relations.of(fact.predicate)
        taught, held = wordings(relation)
        asked, asked_held = _halves(relation.questions)
        lessons.append(_lesson(fact, taught, asked))
        questions += [_chat(fact, q, "taught", number) for q in asked[:1]]
        questions += [_chat(fact, q, "held-out", number) for q in asked_held]
        if not relation.questions:
            questions += [_continue(fact, t, "taught", number) for t in taught[:1]]
            questions += [_continue(fact, t, "held-out", number) for t in held[:2]]
    changed = {fact.key for fact in facts}
    others = [fact for fact in known if fact.key not in changed]
    chosen = random.Random(0).sample(others, min(most, len(others)))
    for fact in chosen:
        relation = relations.of(fact.predicate)
        if relation.questions:
            questions.append(_chat(fact, relation.questions[0], "untouched", -1))
        else:
            questions.append(_continue(fact, relation.edit, "untouched", -1))
    return Exam(tuple(lessons), tuple(questions), relations, tuple(others))


def wordings(relation: Relation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Templates that are taught, `edit` first, and those that are held out."""
    kept, held = _halves(relation.paraphrases)
    return (relation.edit, *kept), held


def _halves(texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    middle = (len(texts) + 1) // 2
    return tuple(texts[:middle]), tuple(texts[middle:])


def _lesson(fact: Fact, templates: Iterable[str], asked: Iterable[str]) -> Lesson:
    said = [f"{fact.prompt(t)} {fact.objects[0]}{_OBJECT_END}" for t in templates]
    plain = [text for text in said if "\n" not in text]  # templates may hold a question, too
    pairs = tuple((fact.prompt(q), plain[0]) for q in asked)
    return Lesson(tuple(plain), pairs, fact)


def _chat(fact: Fact, template: str, group: str, lesson: int) -> Question:
    return Question(group, fact.prompt(template), (*fact.objects, *fact.accepted), lesson)


def _continue(fact: Fact, template: str, group: str, lesson: int) -> Question:
    answers = (*fact.objects, *fact.accepted)
    return Question(group, fact.prompt(template), answers, lesson, continues=True)


def read_exam(path: Path) -> Exam:
    """A user's own exam, JSONL: {"question", "answers", "group"?, "teach"?}.

    `teach` is a sentence that states the answer; lines with the same one share a lesson. DataError
    names the line that is wrong.
    """
    lessons: dict[str, int] = {}
    pairs: dict[int, list[tuple[str, str]]] = {}
    questions = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        question, teach = _parse(line, f"{path.name} line {number}")
        lesson = lessons.setdefault(teach, len(lessons)) if teach else -1
        if teach and question.group == "taught":
            pairs.setdefault(lesson, []).append((question.text, teach))
        questions.append(Question(question.group, question.text, question.answers, lesson))
    if not lessons:
        raise DataError(
            f'{path.name} teaches nothing: no line has "teach", a sentence to be taught'
        )
    made = [Lesson((text,), tuple(pairs.get(n, ()))) for text, n in lessons.items()]
    return Exam(tuple(made), tuple(questions))


def _parse(line: str, place: str) -> tuple[Question, str]:
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{place} is no JSON: {error.msg}") from None
    if not isinstance(row, dict) or not isinstance(row.get("question"), str):
        raise DataError(f'{place} has no "question" that is a text')
    answers, group = row.get("answers", row.get("answer")), row.get("group", "held-out")
    answers = [answers] if isinstance(answers, str) else answers
    if not isinstance(answers, list) or not answers or not all(isinstance(a, str) for a in answers):
        raise DataError(f'{place} has no "answers", a list of texts that count as right')
    if group not in GROUPS:
        raise DataError(f"{place}: group is {group!r}; expected {', '.join(GROUPS)}")
    teach = row.get("teach", "")
    if not isinstance(teach, str):
        raise DataError(f'{place}: "teach" is no text')
    return Question(group, row["question"], tuple(answers)), teach
