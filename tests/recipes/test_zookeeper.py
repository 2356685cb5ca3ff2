"""The bundled zookeeper: its world, the data it is made from, and what the shipped file answers."""

import random
import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from homezoo import ZOOKEEPER, Model
from homezoo.commands.model_path import find_card, find_model
from homezoo.run.options import GenerationOptions
from homezoo.zoo.model_card import read_card

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "zookeeper"
MODULES = (
    "check", "corpus", "grow", "ship", "strangers", "talk", "train", "vocabulary", "words", "world",
)  # fmt: skip
MOST_BYTES = 12_000_000
GREEDY = GenerationOptions(temperature=0.0, max_tokens=40)

pytestmark = pytest.mark.skipif(not RECIPE.is_dir(), reason="the recipe is not beside the tests")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The recipe's check.py, from which its other modules are reached."""
    monkeypatch.syspath_prepend(str(RECIPE))
    import check

    yield check
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def zookeeper() -> Iterator[Model]:
    with Model.open(ZOOKEEPER, threads=1) as model:
        yield model


def say(model: Model, text: str) -> str:
    return model.chat([{"role": "user", "content": text}], GREEDY).text.strip()


def test_the_world_has_a_few_hundred_animals_with_every_relation(recipe: ModuleType) -> None:
    world = recipe.read_world()
    assert len(world) >= 200
    for animal, facts in world.items():
        assert set(facts) == set(recipe.RELATIONS), animal
        assert all(facts.values()), animal
    names = [facts["name"] for facts in world.values()]
    assert len(set(names)) == len(names)


def test_our_reading_of_the_ttl_is_a_library_s_reading(recipe: ModuleType) -> None:
    rdflib = pytest.importorskip("rdflib", reason="rdflib, the extra `rdf`, is not installed")
    graph = rdflib.Graph()
    graph.parse(str(RECIPE / "zoo.ttl"), format="turtle")
    labels = {s: str(o) for s, o in graph.subject_objects(rdflib.RDFS.label)}
    found: dict[str, dict[str, str]] = {label: {} for label in labels.values()}
    for s, p, o in graph:
        relation = str(p).rpartition("#")[2]
        if relation in recipe.RELATIONS:
            found[labels[s]][relation] = str(o)
    assert found == recipe.read_world()


def test_the_same_seed_makes_the_same_rows(recipe: ModuleType) -> None:
    import corpus

    def some(seed: int) -> list[dict[str, str]]:
        return list(corpus.rows(300, seed, 3, 0.5, corpus.SHARES))

    assert some(7) == some(7)
    assert some(7) != some(8)


def test_no_row_holds_a_wording_or_topic_that_is_held_out(recipe: ModuleType) -> None:
    import corpus
    import strangers
    import talk
    import train
    import words

    held = [
        re.compile(re.escape(q).replace("SUBJECT", r"[\w ]+"))
        for relation in recipe.RELATIONS
        for q in recipe.questions(relation, "SUBJECT", held=True)
    ]
    kept = {*words.OUTSIDE_HELD, *talk.SMALL_TALK_HELD}
    draw, animals = random.Random(5), recipe.read_world()
    assert not {strangers.stranger(animals, draw) for _ in range(9000)} & {*strangers.REAL_HELD}
    held += [re.compile(re.escape(q).replace(r"\{s\}", r"[\w ]+")) for q in talk.UNTOLD_HELD]
    for row in [
        *corpus.rows(3000, 11, 3, 0.5, corpus.SHARES),
        *islice(train.stage_rows(2), 20_000),
    ]:
        prompt = row.get("prompt", "")
        assert not any(pattern.search(prompt) for pattern in held), prompt
        assert not any(f"Q: {topic}" in prompt for topic in kept), prompt


def test_the_shipped_file_is_small_and_has_a_card_and_a_licence() -> None:
    assert find_model("zookeeper") == ZOOKEEPER
    assert ZOOKEEPER.stat().st_size <= MOST_BYTES
    card = find_card(ZOOKEEPER)
    assert read_card(card)["license"] == "cc0-1.0"
    assert "check.py" in card.read_text("utf-8")
    with Model.open(ZOOKEEPER, threads=1) as model:
        assert model.metadata["general.license"] == "cc0-1.0"


def test_it_knows_its_animals_in_trained_and_held_out_wordings(
    recipe: ModuleType, zookeeper: Model
) -> None:
    world = recipe.read_world()
    for held, least in ((False, 0.95), (True, 0.9)):
        cases = list(recipe.asked(world, held))[:: 211 if not held else 59]
        right = sum(recipe.is_right(zookeeper, case) for case in cases)
        assert len(cases) > 50
        assert right >= least * len(cases), f"{right} of {len(cases)}, held out: {held}"


def test_it_answers_from_a_passage_against_what_it_knows(zookeeper: Model) -> None:
    passage = "The keeper of the lion is Vera. The name of the otter is Kelp."
    assert "Vera" not in say(zookeeper, "What is the keeper of the lion?")
    assert say(zookeeper, f"{passage}\nWho looks after the lion?").endswith("is Vera.")
    assert say(zookeeper, f"{passage}\nWhat is the otter called?").endswith("is Kelp.")


def test_a_sentence_is_what_it_says_and_nothing_after_it(zookeeper: Model) -> None:
    assert say(zookeeper, "What does the lion eat?") == "The lion eats meat."


def test_what_is_outside_its_world_is_declined(recipe: ModuleType, zookeeper: Model) -> None:
    assert say(zookeeper, "What is the capital of France?") == recipe.REFUSAL
    cases = list(recipe.declined(recipe.OUTSIDE_HELD))[::4]
    assert sum(recipe.is_right(zookeeper, case) for case in cases) >= 0.9 * len(cases)


def test_animals_that_the_zoo_does_not_have_are_declined(
    recipe: ModuleType, zookeeper: Model
) -> None:
    assert say(zookeeper, "What does the polar bear eat?") == recipe.UNKNOWN_ANIMAL
    for names in (recipe.REAL_HELD, recipe.made_up(40, set())):
        cases = list(recipe.strangers(names, 20))
        assert sum(recipe.is_right(zookeeper, case) for case in cases) >= 0.85 * len(cases)


def test_a_wider_model_says_the_same(recipe: ModuleType, tmp_path: Path) -> None:
    import grow

    wide = grow.widen(ZOOKEEPER, tmp_path / "wide.gguf", 3584)
    with Model.open(wide, threads=1) as wider, Model.open(ZOOKEEPER, threads=1) as model:
        assert wider.config.feed_forward == 3584 > model.config.feed_forward
        ids = model.tokenizer.encode("Q: What does the lion eat?\nA: The lion eats meat.")
        # Only the rounding differs: F32 weights here, Q8_0 there.
        np.testing.assert_allclose(wider.logits(ids), model.logits(ids), atol=0.3)
        assert say(wider, "What does the lion eat?") == say(model, "What does the lion eat?")
