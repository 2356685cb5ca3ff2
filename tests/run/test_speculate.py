"""Speculation never changes an answer, whatever is guessed; and it stops where it does not pay."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_models import random_model

from homezoo.errors import OptionError
from homezoo.models.load import load_model
from homezoo.run import speculate
from homezoo.run.answer import Answer
from homezoo.run.constrain import Constraint
from homezoo.run.draft import DraftText
from homezoo.run.engine import Engine
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions
from homezoo.run.pass_costs import PassCosts

STORY = "Lily had a big red ball. Tom wanted the big red ball. Lily and Tom had a"
PROMPTS = [STORY, "Once upon a time", "", "One day, a dog saw a dog. One day, a dog"]
SCHEMA = {
    "type": "object",
    "properties": {"first name": {"type": "string", "maxLength": 9}, "old": {"type": "boolean"}},
    "required": ["first name", "old"],
    "additionalProperties": False,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "drawn": {"temperature": 1.1, "top_k": 0, "seed": 5},
    "drawn, filtered": {"seed": 6, "top_p": 0.9, "typical_p": 0.95},
    "penalties": {
        "temperature": 0.0,
        "repetition_penalty": 1.3,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "penalty_window": 0,
    },
    "penalties, drawn": {"seed": 7, "repetition_penalty": 1.1, "logit_bias": {300: -2.0, 400: 1.5}},
    "stop text": {"temperature": 0.0, "stop": ["park. One", "didn't know"]},
    "logprobs": {"seed": 8, "top_logprobs": 3},
    "schema": {"seed": 9, "temperature": 1.5, "constraint": Constraint.json_schema(SCHEMA)},
    "choices": {"seed": 9, "constraint": Constraint.choices(["the big red ball", "a dog"])},
    "regex": {"temperature": 0.0, "constraint": Constraint.regex("(Lily and Tom )+saw it")},
    "past the end": {"temperature": 0.7, "seed": 3, "ignore_end": True},
}


class Pays(PassCosts):
    """Costs by which every guess pays, so that all of them are checked."""

    def is_known(self, tokens: int) -> bool:
        return True

    def seconds(self, tokens: int) -> float:
        return 1.0

    @property
    def may_risk(self) -> bool:
        return True


def open_paying(path: Path, **options: Any) -> Model:
    model = Model.open(path, **options)
    model.engine.costs = Pays()
    return model


@pytest.fixture(scope="module", params=["alone", "with a draft"])
def paying(request: pytest.FixtureRequest, stories_path: Path) -> Iterator[Model]:
    """The real model guessing wherever it can; its own draft, too, so that drafts are right."""
    draft = stories_path if request.param == "with a draft" else None
    with open_paying(stories_path, draft=draft) as model:
        yield model


@pytest.fixture(scope="module")
def plain(stories_path: Path) -> Iterator[Model]:
    with Model.open(stories_path) as model:
        yield model


def without_times(answer: Answer) -> Answer:
    """All of an answer that must be equal to the bit."""
    kept = replace(answer.timings, prefill_seconds=0, decode_seconds=0)
    return replace(answer, cached_tokens=0, timings=replace(
        kept, prefill_tokens=0, guessed_tokens=0, right_guesses=0
    ))  # fmt: skip


@pytest.mark.parametrize("mode", ["lookup", "auto"])
@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_answer_with_and_without(
    plain: Model, paying: Model, name: str, mode: str
) -> None:
    options = GenerationOptions(max_tokens=90, seed=1).change(**OPTIONS[name])
    guessed = 0
    for prompt in PROMPTS:
        expected = plain.generate(prompt, options, speculate="off")
        found = paying.generate(prompt, options, speculate=mode)
        assert without_times(found) == without_times(expected)
        assert expected.timings.guessed_tokens == 0
        guessed += found.timings.guessed_tokens
    assert guessed or name == "choices"  # else nothing was tested; too short to repeat itself


def test_the_same_pieces_are_streamed(plain: Model, paying: Model) -> None:
    for stop in ((), ("Lily's mom",)):
        asked: dict[str, Any] = {"temperature": 0.0, "max_tokens": 120, "stop": stop}
        expected = list(plain.stream("", speculate="off", **asked))
        assert list(paying.stream("", **asked)) == expected


def test_the_same_side_by_side_and_when_some_wait(stories_path: Path, plain: Model) -> None:
    options = GenerationOptions(seed=4, max_tokens=50)
    expected = [a.tokens for a in plain.generate_many(PROMPTS, options, speculate="off")]
    with open_paying(stories_path, context=128, draft=stories_path) as model:
        assert [a.tokens for a in model.generate_many(PROMPTS, options)] == expected
        assert [a.tokens for a in model.generate_many(PROMPTS, options)] == expected
        assert not model.engine._promised


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_every_position_of_a_context_is_used_and_no_more(stories_path: Path, backend: str) -> None:
    with open_paying(stories_path, context=64, backend=backend) as model:
        for most in (1, 2, 3, 40, None):
            asked: dict[str, Any] = {"temperature": 0.0, "max_tokens": most, "seed": 1}
            expected = model.generate("Once upon a time", speculate="off", **asked)
            found = model.generate("Once upon a time", **asked)
            assert without_times(found) == without_times(expected)


class Wild:
    """Guesses at random, some of them right: the worst a source can do."""

    def __init__(self, right: list[int]) -> None:
        self._right = right
        self._random = random.Random(1)

    def propose(self, history: list[int], most: int) -> tuple[int, list[int]]:
        tokens = self._right[len(history) : len(history) + most]
        cut = self._random.randrange(most + 1)
        tokens = tokens[:cut] + [self._random.randrange(512) for _ in range(most - cut)]
        return (8, tokens[:most])


@pytest.mark.parametrize("cache", ["f16", "q8_0"])
def test_wrong_guesses_leave_no_trace_in_the_cache(
    cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits after the answer, computed on what is left of it, are those of a fresh cache."""
    model = load_model(random_model(vocab=512, width=128, heads=4, head_width=32))
    engine = Engine(model, 256, cache)  # type: ignore[arg-type]
    engine.costs = Pays()
    text = [int(t) for t in np.random.default_rng(0).integers(0, 512, 150)]
    sequence = engine.begin(text, 256)
    assert sequence is not None
    engine.compute([(sequence, text[:70])])
    wild = Wild(text)
    while len(sequence) < len(text) - 1:
        place = len(sequence)
        guess = wild.propose(text[: place + 1], min(15, 255 - place))[1]
        rows = engine.compute([(sequence, [text[place], *guess])], [1 + len(guess)])
        assert rows.shape == (1 + len(guess), 512)
        right = 0
        while right < len(guess) and guess[right] == (text + [-1] * 99)[place + 1 + right]:
            right += 1
        sequence.truncate(place + 1 + right)
    sequence.truncate(min(len(sequence), len(text) - 1))
    after = engine.compute([(sequence, text[-1:])])[0].copy()
    fresh = Engine(model, 256, cache)  # type: ignore[arg-type]
    own = fresh.begin(text, 256)
    assert own is not None
    assert (after == fresh.compute([(own, text)])[0]).all()


def test_two_streams_of_one_text_share_and_guess(stories_path: Path, plain: Model) -> None:
    with open_paying(stories_path, parallel=2) as model:
        asked: dict[str, Any] = {"temperature": 0.0, "max_tokens": 100}
        expected = plain.generate(STORY, speculate="off", **asked).text
        one = model.stream(STORY, **asked)
        next(one)
        two = model.stream(STORY, **asked)
        for _ in zip(one, two, strict=False):
            pass
        assert one.answer.text == two.answer.text == expected


def test_an_unknown_mode_is_an_error(plain: Model) -> None:
    with pytest.raises(OptionError, match="'on'; expected one of off, lookup, auto"):
        plain.generate("Once", speculate="on")


def test_a_draft_of_another_vocabulary_is_an_error(
    stories_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homezoo.run.draft import TOKENS_KEY, check_vocabulary

    with pytest.raises(OptionError, match="3 tokens and the model 2"):
        check_vocabulary("d.gguf", {TOKENS_KEY: list("abc")}, {TOKENS_KEY: list("ab")})
    with pytest.raises(OptionError, match="token 1 is 'x' in the draft d.gguf and 'b'"):
        check_vocabulary("d.gguf", {TOKENS_KEY: list("ax")}, {TOKENS_KEY: list("ab")})


def test_a_draft_without_room_guesses_nothing() -> None:
    engine = Engine(load_model(random_model()), 64)
    assert engine.begin([1], 64) is not None  # takes the whole cache
    choose: Callable[..., int] = lambda logits, history: int(logits.argmax())  # noqa: E731
    assert DraftText(engine, 64).propose([1, 2, 3], 5, choose) == []
    assert DraftText(engine, 64).propose([1] * 70, 5, choose) == []


def test_a_draft_follows_a_text_that_goes_another_way() -> None:
    engine = Engine(load_model(random_model()), 128)
    choose: Callable[..., int] = lambda logits, history: int(logits.argmax())  # noqa: E731
    text = DraftText(engine, 128)
    first = text.propose([1, 2, 3], 6, choose)
    assert len(first) == 6
    other = [1, 2, 3, *first[:2], 99 - first[2]]
    fresh = DraftText(Engine(load_model(random_model()), 128), 128)
    assert text.propose(other, 6, choose) == fresh.propose(other, 6, choose)
    assert text.propose(other, 0, choose) == []
    assert text.propose([*other, 5, 6], 3, choose) == fresh.propose([*other, 5, 6], 3, choose)


def test_steps_of_guessing_are_chosen_by_cost_and_chance() -> None:
    likely = speculate.Guess(speculate.MATCHED, tokens=[1] * 15, most=15)
    likely.expected = [0.9 * n for n in range(16)]
    unlikely = replace(likely, expected=[0.1 * min(n, 1) for n in range(16)])
    cheap, dear = PassCosts(), PassCosts()
    assert speculate.best_length(cheap, [likely]) == 0  # nothing was measured yet
    for tokens in (1, 2, 16):
        cheap.note(tokens, 1.0 + 0.01 * tokens)
        dear.note(tokens, 1.0 * tokens)
    assert speculate.best_length(cheap, [likely]) == 15
    assert speculate.best_length(dear, [likely]) == 0
    assert speculate.best_length(cheap, [unlikely]) in (1, 2)
    assert speculate.best_length(cheap, [None]) == 0
    cheap.note_decoding(1.0, -0.5)
    assert speculate.best_length(cheap, [likely]) == 0  # it has lost too much
    for _ in range(30):
        cheap.note_decoding(1.0, 0.0)
    assert speculate.best_length(cheap, [likely]) == 15
