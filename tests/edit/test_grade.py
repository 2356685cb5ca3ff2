"""Grades on a real small model: what counts as an answer, cases, drift, canaries, the picture."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from homezoo.edit.ask import Asker, Question
from homezoo.edit.canaries import broken_by
from homezoo.edit.facts import Fact
from homezoo.edit.grade import Drift, Grades, grade, known_facts, make_cases, measure_drift
from homezoo.edit.intervals import Rate
from homezoo.edit.picture import picture
from homezoo.edit.reader import Reader
from homezoo.edit.relations import parse_relations
from homezoo.edit.report import lines_of, page
from homezoo.edit.sweep import trial_edits
from homezoo.formats.gguf_read import GGUFFile
from homezoo.run.model import Model

RELATIONS = parse_relations(
    '["a:p"]\nedit = "{s} lived in a"\nparaphrases = ["x {s} y", "z {s} y", "One day, {s} had a"]'
)


@pytest.fixture(scope="module")
def reader(stories_path: Path) -> Reader:
    return Reader(GGUFFile.open(stories_path), threads=1)


def fact(name: str, target: str, **more: str) -> Fact:
    return Fact(f"a:{name}", "a:p", name, (target,), **more)


def test_exact_means_what_a_greedy_answer_says(reader: Reader, stories_path: Path) -> None:
    with Model.open(stories_path, threads=1) as model:
        said = model.generate("Lily lived in a", temperature=0.0, max_tokens=12).text.split()
    prompt = tuple(reader.prompt("Lily lived in a"))
    targets = [" ".join(said[:2]), said[0], said[0][:2], "boat"]
    answers = tuple(tuple(reader.answer("Lily lived in a", target)) for target in targets)
    (reply,) = Asker(reader).ask([Question(prompt, answers)])
    assert reply.exact == (True, True, False, False)  # part of a word is no answer
    assert reply.likely[0] > reply.likely[3]


def test_probabilities_are_those_of_the_model(reader: Reader, stories_path: Path) -> None:
    prompt, answer = (
        tuple(reader.prompt("Lily lived in a")),
        tuple(reader.answer("Lily lived in a", "boat")),
    )
    (reply,) = Asker(reader).ask([Question(prompt, (answer,))])
    with Model.open(stories_path, threads=1) as model:
        logits = model.logits([*prompt, *answer]).astype(np.float64)
    rows = logits[len(prompt) - 1 : -1]
    chances = rows[np.arange(len(answer)), list(answer)] - np.log(np.exp(rows).sum(axis=1))
    assert reply.likely[0] == pytest.approx(chances.mean(), abs=1e-4)


def test_cases_of_an_edit() -> None:
    known = [fact("A", "house"), fact("B", "house"), fact("C", "tree"),
             replace(fact("A", "fish"), predicate="a:q")]  # fmt: skip
    relations = parse_relations(RELATIONS.text + '\n["a:q"]\nedit = "{s} ate"\nparaphrases = '
                                '["a {s}", "b {s}", "c {s}"]')  # fmt: skip
    cases = make_cases([fact("A", "boat")], known, relations)
    found = {(c.measure, c.fact.name, c.predicate, c.answers, c.rival) for c in cases}
    assert ("efficacy", "A", "a:p", ("boat",), "house") in found
    assert sum(c.measure == "paraphrase" for c in cases) == 3
    assert ("neighbourhood", "B", "a:p", ("house",), "boat") in found
    assert ("same subject", "A", "a:q", ("fish",), "") in found
    kept = {(c.fact.name, c.predicate) for c in cases if c.measure == "retention"}
    assert kept == {("A", "a:q"), ("B", "a:p"), ("C", "a:p")}
    assert not any(c.measure == "neighbourhood" and c.fact.name == "C" for c in cases)


def test_known_facts_and_no_edit_at_all(reader: Reader) -> None:
    asker = Asker(reader)
    (ids,) = asker.continue_greedily([reader.prompt("Lily lived in a")], 6)
    first = reader.text(ids).split()[0]
    known = known_facts(reader, [fact("Lily", first), fact("Tom", "boat")], RELATIONS)
    assert [f.name for f in known] == ["Lily"]
    text = np.array(reader.prompt("Once upon a time, there was a girl named Lily."), np.int32)
    grades = grade(reader, {}, make_cases([], known, RELATIONS), text)
    assert grades.rates["retention"] == Rate(1, 1)
    assert grades.drift == Drift(0.0, 1.0, len(text) - 1)


def test_suppressed_means_not_said(reader: Reader) -> None:
    (ids,) = Asker(reader).continue_greedily([reader.prompt("Lily lived in a")], 6)
    first = reader.text(ids).split()[0]
    for target, expected in ((first, 0), ("boat", 1)):
        wish = fact("Lily", target, operation="suppress")
        grades = grade(reader, {}, make_cases([wish], [], RELATIONS)[:1])
        assert grades.rates["efficacy"] == Rate(expected, 1)


def test_suppression_says_how_likely_it_is_before_and_after(reader: Reader) -> None:
    (ids,) = Asker(reader).continue_greedily([reader.prompt("Lily lived in a")], 6)
    first = reader.text(ids).split()[0]
    cases = make_cases([fact("Lily", first, operation="suppress")], [], RELATIONS)
    (unchanged,) = grade(reader, {}, cases).suppressed
    assert unchanged.before == unchanged.after > 0.05
    answer = reader.answer("Lily lived in a", first)
    logits = Asker(reader).logits([*reader.prompt("Lily lived in a"), *answer])
    at = len(reader.prompt("Lily lived in a")) - 1
    rows = logits[at : at + len(answer)].astype(np.float64)
    chance = np.exp(rows - rows.max(1, keepdims=True))
    chance /= chance.sum(1, keepdims=True)
    expected = np.prod(chance[np.arange(len(answer)), answer])
    assert unchanged.before == pytest.approx(expected, rel=1e-3)
    random = np.random.default_rng(0)
    config = reader.model.config
    pair = tuple(random.standard_normal(shape).astype(np.float32)
                 for shape in ((2, config.feed_forward), (config.width, 2)))  # fmt: skip
    (other,) = grade(reader, {"blk.2.ffn_down": pair}, cases).suppressed
    assert other.before == unchanged.before and other.after != other.before
    assert any(line.startswith("suppressed: 'Lily lived in a'")
               for line in lines_of(grade(reader, {}, cases)))  # fmt: skip


def test_several_objects_are_graded_by_recall(reader: Reader) -> None:
    likely = []
    for word in ("house", "big", "small", "boat", "zoo"):
        asked = Question(tuple(reader.prompt("Lily lived in a")),
                         (tuple(reader.answer("Lily lived in a", word)),))  # fmt: skip
        (reply,) = Asker(reader).ask([asked])
        likely.append((reply.likely[0] * len(asked.answers[0]), word))
    order = [word for _, word in sorted(likely, reverse=True)]
    graph = [fact("Tom", word) for word in order]
    for chosen, hits in ((order[:2], 2), ([order[0], order[-1]], 1), (order[-2:], 0)):
        many = replace(fact("Lily", "x"), objects=tuple(chosen))
        grades = grade(reader, {}, make_cases([many], graph, RELATIONS))
        assert grades.rates["recall"] == Rate(hits, 2)
    assert (
        "recall" not in grade(reader, {}, make_cases([fact("Lily", "x")], graph, RELATIONS)).rates
    )


def test_other_names_and_the_other_way_round() -> None:
    relations = parse_relations(
        '["a:p"]\nedit = "{s} lives in"\nparaphrases = ["x {s} y", "z {s} y", "w {s}"]\n'
        'inverse = "a:q"\n["a:q"]\nedit = "In {s} lives"\nparaphrases = ["a {s}", "b {s}", "c {s}"]'
    )
    edit = replace(fact("Leo", "Bath"), aliases=("Old Leo",))
    known = [fact("Mia", "Bath"), fact("Tim", "Rome"), fact("Leo", "Rome")]
    cases = make_cases([edit], known, relations)
    found = {c.measure: (c.prompt, c.answers) for c in cases if c.measure in ("alias", "inverse")}
    assert found["alias"] == ("Old Leo lives in", ("Bath",))
    assert found["inverse"] == ("In Bath lives", ("Leo", "Mia"))


def test_teacher_forcing_counts_tokens(reader: Reader) -> None:
    prompt = tuple(reader.prompt("Lily lived in a"))
    (ids,) = Asker(reader).continue_greedily([prompt], 6)
    first = reader.text(ids).split()[0]
    grades = grade(reader, {}, make_cases([fact("Lily", f"{first} qqq")], [], RELATIONS)[:1])
    answer = reader.answer("Lily lived in a", f"{first} qqq")
    logits = Asker(reader).logits([*prompt, *answer])[len(prompt) - 1 : -1]
    hits = int((logits.argmax(1) == np.array(answer)).sum())
    assert 0 < hits < len(answer)
    assert grades.rates["efficacy (teacher-forced)"] == Rate(hits, len(answer))
    assert grades.rates["efficacy"] == Rate(0, 1)


def test_drift_is_seen(reader: Reader) -> None:
    random = np.random.default_rng(0)
    config = reader.model.config
    pair = tuple(random.standard_normal(shape).astype(np.float32) / 4
                 for shape in ((2, config.feed_forward), (config.width, 2)))  # fmt: skip
    text = np.array(reader.prompt("Once upon a time, there was a girl named Lily. " * 40), np.int32)
    found = measure_drift(Asker(reader), Asker(reader, {"blk.2.ffn_down": pair}), text)
    assert found.divergence > 0.01 and found.perplexity_ratio > 1.0
    assert found.tokens >= len(text) - 4


def test_canaries() -> None:
    good = Grades({"retention": Rate(95, 100)}, drift=Drift(0.0, 1.01, 100))
    assert broken_by(good) == []
    bad = Grades({"retention": Rate(85, 100)}, drift=Drift(0.1, 1.2, 100))
    assert ["retention is 85.0%" in broken_by(bad)[0], "1.200 times" in broken_by(bad)[1]] == [
        True, True
    ]  # fmt: skip
    assert broken_by(Grades({"retention": Rate(1, 3)})) == []  # too few to tell


def test_trial_edits_have_other_objects_and_are_always_the_same() -> None:
    known = [fact(str(n), f"object {n % 3}") for n in range(12)]
    edits = trial_edits(known, 5)
    old = {f.key: f.objects for f in known}
    assert len(edits) == 5
    assert all(old[edit.key] != edit.objects for edit in edits)
    assert edits == trial_edits(known[::-1], 5)


def test_a_report_and_its_picture() -> None:
    grades = Grades(
        {"efficacy": Rate(9, 10), "retention": Rate(0, 0)},
        {"a:p": {}},
        make_cases([fact("<A>", "boat")], [], RELATIONS)[:1],
        Drift(0.01, 1.02, 50),
    )
    lines = "\n".join(lines_of(grades))
    assert "90.0% (9 of 10; 59.6% to 98.2%)" in lines
    assert "perplexity 1.0200 of the base's" in lines
    assert "not answered: '<A> lived in a' is not 'boat'" in lines
    drawn = ElementTree.fromstring(picture(grades))
    assert len(drawn.findall("{http://www.w3.org/2000/svg}rect")) == 1
    html = page("a < b", grades, picture(grades))
    assert "<h1>a &lt; b</h1>" in html and "&lt;A&gt; lived in a" in html
    assert "<script" not in html and "http://" not in html.replace("http://www.w3.org/2000/svg", "")
