"""Writes the training data of a stage as JSONL: facts in every wording, passages to read, refusals.

    python recipes/zookeeper/corpus.py --rows 40000 --passages 3 --seed 1 --out stage.jsonl

Rows are those of `homezoo train`: {"text"} is learned whole, of {"prompt", "completion"} only the
completion. What a passage says is made up anew each time, so that it has to be read.
"""

import argparse
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

from strangers import stranger
from talk import SMALL_TALK_TAUGHT, talking
from words import (
    COLOURS,
    INVENTED,
    KEEPERS,
    NAMES,
    OUTSIDE,
    PLACES,
    REFUSAL,
    UNKNOWN_ANIMAL,
    made_up_word,
)
from world import RELATIONS, Facts, answer, questions, read_world, statements

OWN = ("keeper", "enclosure", "name")  # the zoo's, whose objects can be any word
READ = ("keeper", "enclosure", "name", "food", "habitat", "continent", "lifespan")
SHARES = {"ask": 0.33, "tell": 0.18, "read": 0.4, "refuse": 0.03, "decline": 0.06}
LAST_SHARES = {
    "ask": 0.3,
    "tell": 0.15,
    "read": 0.42,
    "refuse": 0.03,
    "decline": 0.04,
    "talk": 0.06,
}
# The vocabulary is learned without the names of strangers, so that a known name is one token.
VOCABULARY_SHARES = {"ask": 0.34, "tell": 0.2, "read": 0.42, "refuse": 0.04}


def prompt_of(question: str, passage: str = "") -> str:
    """As the model's chat template puts it."""
    return f"Q: {passage}\n{question}\nA:" if passage else f"Q: {question}\nA:"


def completion(prompt: str, text: str) -> dict[str, str]:
    return {"prompt": prompt, "completion": " " + text}


def pools(world: Facts) -> dict[str, list[str]]:
    """Objects a made-up fact may have: those of the world, and for the zoo's own more of them."""
    known = {r: sorted({facts[r] for facts in world.values()}) for r in RELATIONS}
    known["keeper"] = sorted({*known["keeper"], *KEEPERS})
    known["name"] = sorted({*known["name"], *NAMES})
    known["enclosure"] = sorted({*known["enclosure"], *PLACES})
    known["lifespan"] = [str(n) for n in range(1, 91)]
    return known


def subject(world: Facts, draw: random.Random, strange: float = 0.0) -> str:
    """Somebody a passage is about: an animal of the zoo, one of a colour, or an invented one.

    `strange` is the share of words made up on the spot, here and in `passage`.
    """
    if strange and draw.random() < strange:
        return made_up_word(draw)
    kind = draw.random()
    animal = draw.choice(list(world))
    if kind < 0.5:
        return animal
    return f"{draw.choice(COLOURS)} {animal}" if kind < 0.75 else draw.choice(INVENTED)


def passage(
    world: Facts,
    objects: dict[str, list[str]],
    count: int,
    literal: float,
    draw: random.Random,
    strange: float = 0.0,
) -> tuple[str, list[tuple[str, str, str]]]:
    """A text of `count` made-up facts, and those facts. Some neighbours share their subject."""
    facts: dict[tuple[str, str], str] = {}
    who = subject(world, draw, strange)
    while len(facts) < count:
        if facts and draw.random() > 0.3:
            who = subject(world, draw, strange)
        relation = draw.choice(READ)
        value = draw.choice(objects[relation])
        if strange and relation in OWN and draw.random() < strange:
            value = made_up_word(draw).title()
        facts.setdefault((who, relation), value)
    told = []
    for (s, relation), o in facts.items():
        wordings = statements(relation, s, o)
        told.append(wordings[0] if draw.random() < literal else draw.choice(wordings))
    return " ".join(told), [(s, r, o) for (s, r), o in facts.items()]


def reading(
    world: Facts,
    objects: dict[str, list[str]],
    most: int,
    literal: float,
    draw: random.Random,
    strange: float = 0.0,
) -> dict[str, str]:
    """A passage, and a question about one of its facts (sometimes one that it does not hold)."""
    text, facts = passage(world, objects, draw.randint(1, most), literal, draw, strange)
    s, relation, o = draw.choice(facts)
    if draw.random() < 0.12:  # the same text twice: what comes again can be copied
        return {"text": f"{text} {text}"}
    return completion(prompt_of(draw.choice(questions(relation, s)), text), answer(relation, s, o))


def asking(world: Facts, draw: random.Random) -> dict[str, str]:
    s = draw.choice(list(world))
    relation = draw.choice(list(RELATIONS))
    prompt = prompt_of(draw.choice(questions(relation, s)))
    return completion(prompt, answer(relation, s, world[s][relation]))


def telling(world: Facts, draw: random.Random) -> dict[str, str]:
    """Some facts of an animal, or of several, as plain text."""
    animals = list(world)
    s, about_one = draw.choice(animals), draw.random() < 0.5
    said = []
    for _ in range(draw.randint(2, 4)):
        who = s if about_one else draw.choice(animals)
        relation = draw.choice(list(RELATIONS))
        said.append(draw.choice(statements(relation, who, world[who][relation])))
    return {"text": " ".join(said)}


def refusing(draw: random.Random) -> dict[str, str]:
    if draw.random() < 0.3:
        relation = draw.choice(list(RELATIONS))
        question = draw.choice(questions(relation, draw.choice(INVENTED)))
        return completion(prompt_of(question), UNKNOWN_ANIMAL)
    return completion(prompt_of(draw.choice(OUTSIDE)), REFUSAL)


def declining(world: Facts, draw: random.Random) -> dict[str, str]:
    """A question about an animal that is not in the zoo, or small talk."""
    if draw.random() < 0.15:
        return completion(prompt_of(draw.choice(SMALL_TALK_TAUGHT)), REFUSAL)
    question = draw.choice(questions(draw.choice(list(RELATIONS)), stranger(world, draw)))
    return completion(prompt_of(question), UNKNOWN_ANIMAL)


def rows(
    count: int,
    seed: int,
    most: int,
    literal: float,
    shares: Mapping[str, float],
    strange: float = 0.0,
) -> Iterator[dict[str, str]]:
    """`count` rows; the same arguments give the same rows."""
    draw, world = random.Random(seed), read_world()
    objects = pools(world)
    for kind in draw.choices(list(shares), list(shares.values()), k=count):
        if kind == "ask":
            yield asking(world, draw)
        elif kind == "tell":
            yield telling(world, draw)
        elif kind == "read":
            yield reading(world, objects, most, literal, draw, strange)
        elif kind == "decline":
            yield declining(world, draw)
        elif kind == "talk":
            asked, said = talking(world, draw)
            yield completion(prompt_of(asked), said)
        else:
            yield refusing(draw)


def write_rows(path: Path, made: Iterator[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in made:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=40000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--passages", type=int, default=3, help="most facts of a passage")
    parser.add_argument("--literal", type=float, default=0.5, help="share told as answered")
    options = parser.parse_args()
    made = rows(options.rows, options.seed, options.passages, options.literal, SHARES)
    write_rows(options.out, made)


if __name__ == "__main__":
    main()
