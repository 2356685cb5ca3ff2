"""The zookeeper's world: the facts of zoo.ttl, and the ways in which they are told and asked."""

import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
_ANIMAL = re.compile(r'rdfs:label "(?P<label>[^"]+)" ;(?P<facts>[^.]*)\.')
_FACT = re.compile(r'zoo:(?P<relation>\w+) (?:"(?P<text>[^"]*)"|(?P<number>\d+))')


@dataclass(frozen=True)
class Relation:
    """How a relation is told and asked. {s} is the subject, {o} the object; `told[0]` answers."""

    noun: str
    told: tuple[str, ...]
    asked: tuple[str, ...]  # questions that no other relation has


RELATIONS = {
    "class": Relation(
        "class",
        (
            "The {s} is a kind of {o}.",
            "The class of the {s} is {o}.",
            "Every {s} is a kind of {o}.",
        ),
        ("What kind of animal is the {s}?",),
    ),
    "food": Relation(
        "food",
        ("The {s} eats {o}.", "The food of the {s} is {o}.", "Our keepers feed the {s} with {o}."),
        ("What does the {s} eat?", "What do you feed the {s}?"),
    ),
    "habitat": Relation(
        "habitat",
        ("In nature, the {s} lives in the {o}.", "The habitat of the {s} is the {o}."),
        ("Where does the {s} live in nature?",),
    ),
    "continent": Relation(
        "origin",
        ("The {s} comes from {o}.", "The origin of the {s} is {o}.", "The home of the {s} is {o}."),
        ("Where does the {s} come from?", "Which part of the world is the {s} from?"),
    ),
    "size": Relation(
        "size",
        ("The size of the {s} is {o}.", "For an animal, the {s} is {o}."),
        ("How big is the {s}?",),
    ),
    "lifespan": Relation(
        "lifespan",
        ("The lifespan of the {s} in years is {o}.", "How many years the {s} lives: {o}."),
        ("How old does the {s} get?", "How many years does the {s} live?"),
    ),
    "keeper": Relation(
        "keeper",
        ("The keeper of the {s} is {o}.", "The {s} is looked after by {o}.",
         "The person who feeds the {s} is {o}."),
        ("Who looks after the {s}?", "Who feeds the {s}?"),
    ),
    "enclosure": Relation(
        "enclosure",
        ("The enclosure of the {s} is the {o}.", "At the zoo, the {s} is in the {o}.",
         "You find the {s} in the {o}."),
        ("Where do I find the {s} in the zoo?", "Where in the zoo is the {s}?"),
    ),
    "name": Relation(
        "name",
        ("The name of the {s} is {o}.", "The {s} is called {o}.", "We call our {s} {o}."),
        ("What is the {s} called?", "What do you call the {s}?"),
    ),
}  # fmt: skip

# Questions that fit every relation; {n} is its noun. Of each relation two are held out of training.
FRAMES = (
    "What is the {n} of the {s}?",
    "Tell me the {n} of the {s}.",
    "What {n} does the {s} have?",
    "Please name the {n} of the {s}.",
    "Can you tell me what the {n} of the {s} is?",
    "I would like to know the {n} of the {s}.",
    "About the {s}: what is its {n}?",
    "The {n} of the {s}, please?",
)

Facts = dict[str, dict[str, str]]  # animal to relation to object


def read_world(path: Path = HERE / "zoo.ttl") -> Facts:
    """The facts of zoo.ttl, in its order. It keeps to a small part of Turtle, as its head shows."""
    text = "\n".join(x for x in path.read_text("utf-8").splitlines() if not x.startswith("#"))
    found: Facts = {}
    for animal in _ANIMAL.finditer(text):
        facts = _FACT.finditer(animal["facts"])
        found[animal["label"]] = {f["relation"]: f["text"] or f["number"] for f in facts}
    return found


def held_out(relation: str) -> tuple[str, str]:
    """The two frames in which this relation is never asked in training."""
    at = list(RELATIONS).index(relation)
    return FRAMES[at % len(FRAMES)], FRAMES[(at + 3) % len(FRAMES)]


def questions(relation: str, subject: str, held: bool = False) -> list[str]:
    """All questions for a fact that training may ask, or (`held`) those it never asks."""
    kept_out = held_out(relation)
    noun = RELATIONS[relation].noun
    frames = [f.format(n=noun, s=subject) for f in FRAMES if (f in kept_out) == held]
    return frames + ([] if held else [q.format(s=subject) for q in RELATIONS[relation].asked])


def answer(relation: str, subject: str, value: str) -> str:
    """The one sentence that answers."""
    return RELATIONS[relation].told[0].format(s=subject, o=value)


def statements(relation: str, subject: str, value: str) -> list[str]:
    """The fact in every wording."""
    return [told.format(s=subject, o=value) for told in RELATIONS[relation].told]
