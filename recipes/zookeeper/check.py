"""Measures what the zookeeper knows, reads and declines, and says which targets it misses.

    python recipes/zookeeper/check.py src/homezoo/bundled/zookeeper-Q8_0.gguf

An answer is right when greedy decoding says exactly the one right sentence and then stops. That is
read off one pass over question and answer: every token must be the likeliest after those before.
Exit status 1 when a target is missed.
"""

import argparse
import json
import random
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from corpus import READ, passage, pools, prompt_of
from strangers import REAL_HELD
from talk import SMALL_TALK_HELD, UNTOLD_HELD, free_questions, untold
from train import STAGES, stage_rows
from words import INVENTED_HELD, OUTSIDE_HELD, REFUSAL, UNKNOWN_ANIMAL, made_up_word
from world import RELATIONS, Facts, answer, questions, read_world

from homezoo import Model

Case = tuple[str, str]  # what the model is given, and the text that must follow
END = "<|end|>"
# Per cent that must be right; a figure without one is told, and nothing is demanded of it.
TARGETS = {
    "facts, questions of training": 99.0,
    "facts, statements": 99.0,
    "facts, held-out wordings": 95.0,
    "unseen facts in passages": 90.0,
    "declines held-out questions": 95.0,
    "declines made-up animals": 90.0,
    "declines real animals": 90.0,
}
_SENTENCE = re.compile(r"[^.]+\.")
_WORD = re.compile(r"\w+")


def asked(world: Facts, held: bool) -> Iterator[Case]:
    """Every fact in every question; `held`: in those that training never asks."""
    for s, facts in world.items():
        for relation, value in facts.items():
            for question in questions(relation, s, held):
                yield prompt_of(question), f" {answer(relation, s, value)}{END}"


def asked_freely(world: Facts) -> Iterator[Case]:
    """Every fact as people ask for it; only the last stage has these wordings."""
    for s, facts in world.items():
        for relation, value in facts.items():
            for question in free_questions(relation, s):
                yield prompt_of(question), f" {answer(relation, s, value)}{END}"


def stated(world: Facts) -> Iterator[Case]:
    """Every fact in every statement, from which the object is to be said."""
    for s, facts in world.items():
        for relation, value in facts.items():
            for told in RELATIONS[relation].told:
                before, _, after = told.partition(" {o}")
                yield before.format(s=s), f" {value}{after[:1]}"


def seen_in_training() -> tuple[set[str], set[str]]:
    """Every sentence of passages of training, and every word: the rows are made again."""
    found: set[str] = set()
    words: set[str] = set()
    for number in range(len(STAGES)):
        for row in stage_rows(number):
            text = row.get("prompt", row.get("text", ""))
            found.update(said.strip(" \n").removeprefix("Q: ") for said in _SENTENCE.findall(text))
            words.update(_WORD.findall(text))
    return found, words


def read(world: Facts, count: int, each: int, seen: set[str], strange: float) -> Iterator[Case]:
    """`each` passages of `count` made-up facts, and a question about one that is not in `seen`.

    With `strange` some subjects and objects are words that no training text has.
    """
    draw, objects, made = random.Random(f"{count} {strange}"), pools(world), 0
    while made < each:
        text, facts = passage(world, objects, count, 0.5, draw, strange)
        s, relation, o = draw.choice(facts)
        if any(told.format(s=s, o=o) in seen for told in RELATIONS[relation].told):
            continue
        held = draw.random() < 0.3  # wordings of questions too that training never has
        question = draw.choice(questions(relation, s, held))
        yield prompt_of(question, text), f" {answer(relation, s, o)}{END}"
        made += 1


def same_relation(world: Facts, each: int) -> Iterator[Case]:
    """Passages that tell the same of two animals: only the name in the question tells which."""
    draw, objects = random.Random(2), pools(world)
    for _ in range(each):
        relation = draw.choice(READ)
        pair = draw.sample(list(world), 2)
        told = dict(zip(pair, draw.sample(objects[relation], 2), strict=True))
        text = " ".join(answer(relation, s, o) for s, o in told.items())
        s = draw.choice(pair)
        question = draw.choice(questions(relation, s))
        yield prompt_of(question, text), f" {answer(relation, s, told[s])}{END}"


def declined(asked: list[str]) -> Iterator[Case]:
    for question in asked:
        yield prompt_of(question), f" {REFUSAL}{END}"


def made_up(count: int, seen: set[str]) -> list[str]:
    """Names of animals that are in no text of training."""
    draw = random.Random(3)
    names: list[str] = []
    while len(names) < count:
        name = draw.choice(INVENTED_HELD) if draw.random() < 0.2 else made_up_word(draw)
        if name not in seen:
            names.append(name)
    return names


def strangers(names: list[str], each: int) -> Iterator[Case]:
    """Animals that are not in the zoo, asked about in every way; held-out wordings as well."""
    draw = random.Random(4)
    for number in range(2 * each):
        relation = draw.choice(list(RELATIONS))
        question = draw.choice(questions(relation, names[number % len(names)], number % 2 == 1))
        yield prompt_of(question), f" {UNKNOWN_ANIMAL}{END}"


def untold_of(world: Facts) -> Iterator[Case]:
    """What no fact tells, of known animals, in words that training never has."""
    for number, s in enumerate(world):
        question = UNTOLD_HELD[number % len(UNTOLD_HELD)].format(s=s)
        yield prompt_of(question), f" {untold(s)}{END}"


def is_right(model: Model, case: Case) -> bool:
    given, after = (model.tokenizer.encode(text, special=True) for text in case)
    likeliest = model.logits([*given, *after])[len(given) - 1 : -1].argmax(-1)
    return bool((likeliest == after).all())


def share(model: Model, cases: Iterable[Case], wrong: list[Case]) -> tuple[float, int]:
    """Per cent that are right, and how many there were; the others go to `wrong`."""
    right = total = 0
    for case in cases:
        total += 1
        if is_right(model, case):
            right += 1
        else:
            wrong.append(case)
    return round(100 * right / total, 1), total


def groups(world: Facts, thin: int, each: int) -> Iterator[tuple[str, Iterable[Case]]]:
    """The figures and their cases; only every `thin`-th of those about facts."""
    yield "facts, questions of training", list(asked(world, held=False))[::thin]
    yield "facts, statements", list(stated(world))[::thin]
    yield "facts, held-out wordings", list(asked(world, held=True))[::thin]
    yield "facts, freer questions", list(asked_freely(world))[::thin]
    seen, names = seen_in_training()
    counts = (1, 2, 3, 4)
    every = {count: list(read(world, count, each, seen, 0.0)) for count in counts}
    yield "unseen facts in passages", [case for cases in every.values() for case in cases]
    for count, cases in every.items():
        yield f"  of {count}", cases
    strange = [c for count in counts for c in read(world, count, each // 2, seen, 1.0)]
    yield "unseen facts of unseen words", strange
    yield "two animals, the same relation", same_relation(world, each)
    yield "declines held-out questions", declined(OUTSIDE_HELD)
    yield "declines held-out small talk", declined(SMALL_TALK_HELD)
    yield "declines what no fact tells", untold_of(world)
    yield "declines made-up animals", strangers(made_up(2 * each, names), each)
    yield "declines real animals", strangers(REAL_HELD, each)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--thin", type=int, default=1, help="take every N-th question about facts")
    parser.add_argument("--each", type=int, default=100, help="passages of each length")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--wrong", action="store_true", help="show some of the wrong answers")
    options = parser.parse_args()
    figures, missed = {}, []
    with Model.open(options.model, threads=options.threads) as model:
        for name, cases in groups(read_world(), options.thin, options.each):
            wrong: list[Case] = []
            value, count = share(model, cases, wrong)
            figures[name.strip()] = value
            target = TARGETS.get(name)
            if target is not None and value < target:
                missed.append(f"{name}: {value} %, target {target} %")
            demanded = "" if target is None else f"target {target:g} %"
            print(f"{name:31} {value:5.1f} % of {count:5d}  {demanded}", flush=True)
            for given, after in wrong[:3] if options.wrong else ():
                print(f"    {given!r} is to go on {after!r}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    if missed:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
