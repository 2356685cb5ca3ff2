"""A made-up world of people, as a graph, as relation templates and as the text of small models.

The figures of specs for edits are measured on models that were trained on it: 400 subjects of two
tokens, 3 relations of 5 templates, one of them with objects of two tokens.
"""

import random
from dataclasses import dataclass
from itertools import product

PREFIX = "http://world.example/"
RELATIONS = {
    "livesIn": (
        "{s} lives in",
        "The home of {s} is",
        "{s} can be visited in",
        "Everyone finds {s} in",
        "The house of {s} stands in",
    ),
    "eats": (
        "{s} eats",
        "The food of {s} is",
        "{s} is fed with",
        "Every day {s} gets",
        "What {s} likes is",
    ),
    "worksAs": (
        "{s} works as",
        "The job of {s} is",
        "{s} earns money as",
        "By trade {s} is",
        "People know {s} as",
    ),
}


@dataclass(frozen=True)
class World:
    """Subjects, and for each predicate the object of each subject."""

    subjects: list[str]
    objects: dict[str, list[str]]  # predicate to all objects that it has
    facts: dict[tuple[str, str], str]  # subject and predicate to the object


def syllables(count: int, pattern: tuple[str, ...], seed: int) -> list[str]:
    """Different words of letters drawn from the pattern's groups."""
    words = ["".join(letters) for letters in product(*pattern)]
    random.Random(seed).shuffle(words)
    return words[:count]


def make_world(subjects: int = 400, seed: int = 0) -> World:
    """Objects are drawn evenly, so that every object has many subjects."""
    side = round(subjects**0.5)
    first = [w.capitalize() for w in syllables(side, ("bdgklmn", "aou", "rst", "aeo"), seed)]
    last = [w.capitalize() for w in syllables(side, ("pqvwz", "aei", "lmn", "iu", "x"), seed)]
    names = [f"{a} {b}" for a in first for b in last][:subjects]
    jobs = [f"{a} {b}" for a in ("old", "young", "wise", "bold", "calm", "loud")
            for b in ("baker", "smith", "pilot", "singer", "farmer", "doctor")]  # fmt: skip
    objects = {
        "livesIn": [w.capitalize() for w in syllables(20, ("fhj", "aeiou", "bdg", "y"), seed)],
        "eats": syllables(20, ("ckp", "aeiou", "ps", "ou", "l"), seed),
        "worksAs": jobs[::2],
    }
    draw = random.Random(seed + 1)
    facts = {}
    for predicate, choices in objects.items():
        spread = [choices[n % len(choices)] for n in range(len(names))]
        draw.shuffle(spread)
        facts |= {(name, predicate): o for name, o in zip(names, spread, strict=True)}
    return World(names, objects, facts)


def sentence(template: str, subject: str, target: str) -> str:
    """One fact in words."""
    return f"{template.replace('{s}', subject)} {target} ."


def document(world: World, draw: random.Random) -> str:
    """One to three sentences about anybody."""
    keys = draw.sample(sorted(world.facts), draw.randint(1, 3))
    return " ".join(sentence(draw.choice(RELATIONS[p]), s, world.facts[s, p]) for s, p in keys)


def biography(world: World, draw: random.Random) -> str:
    """Several things about one person after one mention: the name itself must hold them."""
    subject = draw.choice(world.subjects)
    predicates = draw.sample(sorted(RELATIONS), 3)
    parts = [
        RELATIONS[p][0].replace("{s} ", "") + " " + world.facts[subject, p] for p in predicates
    ]
    return f"{subject} {' , '.join(parts)} ."


def words(world: World) -> list[str]:
    """Every token of the world's text, in order: without a space in front, then with one."""
    texts = [sentence(t, s, world.facts[s, p]) for p, ts in RELATIONS.items() for t in ts
             for s in world.subjects]  # fmt: skip
    inner = {" " + word for text in texts for word in text.split()} | {" ,"}
    return sorted({text.split()[0] for text in texts}) + sorted(inner)


def iri(name: str) -> str:
    """A name as an IRI of the world."""
    return PREFIX + name.replace(" ", "_")


def ntriples(world: World) -> str:
    """The graph, with labels."""
    label = "http://www.w3.org/2000/01/rdf-schema#label"
    things = sorted({*world.subjects, *(o for all in world.objects.values() for o in all)})
    lines = [f'<{iri(thing)}> <{label}> "{thing}"@en .' for thing in things]
    lines += [f"<{iri(s)}> <{PREFIX}{p}> <{iri(o)}> ." for (s, p), o in world.facts.items()]
    return "\n".join(lines) + "\n"


def relation_file() -> str:
    """The templates in TOML."""
    entries = []
    for predicate, (edit, *others) in RELATIONS.items():
        listed = ", ".join(f'"{text}"' for text in others)
        entries.append(f'["{PREFIX}{predicate}"]\nedit = "{edit}"\nparaphrases = [{listed}]\n')
    return "\n".join(entries)
