"""Exams: from facts, from a user's file; how replies are graded."""

import json
from pathlib import Path

import pytest

from homezoo.compare.exam import exam_of_facts, read_exam, read_facts, wordings
from homezoo.compare.grade import is_exact, is_right
from homezoo.compare.ways import training_rows
from homezoo.edit.relations import parse_relations
from homezoo.errors import DataError

ZOO = "https://homezoo.example/zoo#"
RELATIONS = parse_relations(
    """
[prefixes]
zoo = "https://homezoo.example/zoo#"
["zoo:keeper"]
edit = "The keeper of the {s} is"
paraphrases = ["The {s} is fed by", "Well: the {s} is fed by", "So the keeper of the {s} is"]
questions = ["Who feeds the {s}?", "Who is the keeper of the {s}?"]
["zoo:name"]
edit = "The {s} is called"
paraphrases = ["The name of the {s} is", "We call the {s}", "Our {s} is called"]
"""
)


def table(path: Path, *rows: tuple[str, str, str]) -> Path:
    lines = ["subject,predicate,object", *(f"{s},{ZOO}{p},{o}" for s, p, o in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_questions_of_facts_keep_half_of_the_wordings_for_the_exam(tmp_path: Path) -> None:
    new = read_facts(table(tmp_path / "new.csv", ("lion", "keeper", "Ada")), RELATIONS)
    known = table(
        tmp_path / "known.csv", ("lion", "keeper", "Ben"), ("lion", "name", "Leo"),
        ("owl", "keeper", "Cleo"),
    )  # fmt: skip
    exam = exam_of_facts(new, RELATIONS, read_facts(known, RELATIONS))
    assert [(q.group, q.text) for q in exam.questions[:2]] == [
        ("taught", "Who feeds the lion?"),
        ("held-out", "Who is the keeper of the lion?"),
    ]
    # What is about to change is neither asked as untouched nor protected.
    assert sorted(q.text for q in exam.of("untouched")) == [
        "The lion is called",
        "Who feeds the owl?",
    ]
    assert [fact.objects for fact in exam.known] == [("Leo",), ("Cleo",)]
    assert exam.document == "The keeper of the lion is Ada.\n"
    taught = {row["messages"][0]["content"] for row in training_rows(exam)}
    assert taught == {"Who feeds the lion?"}  # nothing that is held out is trained on


def test_relations_without_questions_are_asked_as_texts(tmp_path: Path) -> None:
    exam = exam_of_facts(
        read_facts(table(tmp_path / "new.csv", ("lion", "name", "Kimba")), RELATIONS), RELATIONS
    )
    assert all(question.continues for question in exam.questions)
    kept, held = wordings(RELATIONS.of(ZOO + "name"))
    texts = {template.replace("{s}", "lion") for template in held}
    assert {q.text for q in exam.of("held-out")} <= texts
    assert [row["text"] for row in training_rows(exam)] == [
        template.replace("{s}", "lion") + " Kimba." for template in kept
    ]


def test_a_relation_file_that_knows_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no facts in predicates of the relation file"):
        read_facts(table(tmp_path / "new.csv", ("lion", "colour", "yellow")), RELATIONS)


def test_own_exams_share_lessons_and_name_bad_lines(tmp_path: Path) -> None:
    rows = [
        {"question": "Who?", "answers": ["Ada"], "group": "taught", "teach": "Ada did it."},
        {"question": "By whom?", "answer": "Ada", "teach": "Ada did it."},
        {"question": "2 + 2?", "answers": ["4", "four"], "group": "untouched"},
    ]
    path = tmp_path / "exam.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    exam = read_exam(path)
    assert [lesson.sentences for lesson in exam.lessons] == [("Ada did it.",)]
    assert [q.group for q in exam.questions] == ["taught", "held-out", "untouched"]
    assert training_rows(exam) == [
        {"messages": [{"role": "user", "content": "Who?"},
                      {"role": "assistant", "content": "Ada did it."}]}
    ]  # fmt: skip
    path.write_text(json.dumps({"question": "Who?", "answers": []}) + "\n", "utf-8")
    with pytest.raises(DataError, match=r'exam.jsonl line 1 has no "answers"'):
        read_exam(path)
    path.write_text(json.dumps({"question": "Who?", "answers": ["A"]}) + "\n", "utf-8")
    with pytest.raises(DataError, match="teaches nothing"):
        read_exam(path)


@pytest.mark.parametrize(
    ("reply", "right", "exact"),
    [
        ("The Rock House", True, True),
        ("rock house!", True, True),
        ("It is in the Rock House, I think.", True, False),
        ("The Rocky House", False, False),
        ("Rock", False, False),
        ("", False, False),
    ],
)
def test_answers_count_as_whole_words(reply: str, right: bool, exact: bool) -> None:
    assert (is_right(reply, ["Rock House"]), is_exact(reply, ["Rock House"])) == (right, exact)
