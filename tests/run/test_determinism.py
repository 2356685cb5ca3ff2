"""The same seed gives the same tokens: alone, in company, reused, in pieces, on any threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_models import random_model

from homezoo.formats.block_types import BlockType
from homezoo.models.cache import CacheType
from homezoo.models.load import load_model
from homezoo.run.engine import Engine
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions

PROMPTS = ["Once upon a time", "Lily and Tom", "The big red ball", "One day, a dog", ""]
OPTIONS = GenerationOptions(seed=11, max_tokens=40, temperature=1.2, top_k=0, top_p=0.98)


@pytest.fixture(scope="module")
def alone(stories_path: Path) -> list[tuple[int, ...]]:
    """The answer to each prompt, each in a model of its own."""
    answers = []
    for prompt in PROMPTS:
        with Model.open(stories_path, threads=1) as model:
            answers.append(model.generate(prompt, OPTIONS).tokens)
    return answers


def tokens_of(model: Model, prompts: list[str]) -> list[tuple[int, ...]]:
    return [answer.tokens for answer in model.generate_many(prompts, OPTIONS)]


def test_answers_are_not_all_alike(alone: list[tuple[int, ...]]) -> None:
    assert len(set(alone)) == len(alone)  # else the tests below would hold nothing


def test_the_same_run_after_run(stories_path: Path, alone: list[tuple[int, ...]]) -> None:
    with Model.open(stories_path, threads=1) as model:
        assert model.generate(PROMPTS[0], OPTIONS).tokens == alone[0]
        assert model.generate(PROMPTS[0], OPTIONS).tokens == alone[0]


def test_the_same_alone_and_beside_others(stories_path: Path, alone: list[tuple[int, ...]]) -> None:
    with Model.open(stories_path) as model:
        assert tokens_of(model, PROMPTS) == alone
        assert tokens_of(model, PROMPTS[::-1]) == alone[::-1]


def test_the_same_when_the_cache_makes_some_wait(
    stories_path: Path, alone: list[tuple[int, ...]]
) -> None:
    with Model.open(stories_path, context=64) as model:  # one block: one answer at a time
        assert tokens_of(model, PROMPTS) == alone


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_with_any_number_of_threads(
    stories_path: Path, alone: list[tuple[int, ...]], threads: int
) -> None:
    with Model.open(stories_path, threads=threads) as model:
        assert tokens_of(model, PROMPTS) == alone


def test_the_same_with_a_fresh_and_a_reused_prefix(
    stories_path: Path, alone: list[tuple[int, ...]]
) -> None:
    with Model.open(stories_path) as model:
        prompt = model.encode_prompt(PROMPTS[0]) + list(alone[0][:20])
        fresh = model.generate(prompt, OPTIONS)
        assert fresh.cached_tokens == 0
        assert model.generate(PROMPTS[0], OPTIONS).tokens == alone[0]
        reused = model.generate(prompt, OPTIONS)
        assert reused.cached_tokens == len(prompt) - 1
        assert reused.tokens == fresh.tokens
        # a draw belongs to its position, so an answer that is gone on with goes on as it did
        assert fresh.tokens[:20] == alone[0][20:]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_the_same_in_any_company_in_any_chunks(
    stories_path: Path, alone: list[tuple[int, ...]], data: st.DataObject
) -> None:
    order = data.draw(st.lists(st.sampled_from(range(len(PROMPTS))), min_size=1, max_size=7))
    with Model.open(stories_path, context=data.draw(st.integers(64, 300))) as model:
        model.engine.chunk = data.draw(st.integers(1, 40))
        assert tokens_of(model, [PROMPTS[i] for i in order]) == [alone[i] for i in order]


def test_the_same_when_several_threads_ask_at_once(
    stories_path: Path, alone: list[tuple[int, ...]]
) -> None:
    with Model.open(stories_path, parallel=4) as model, ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            answers = pool.map(lambda prompt: model.generate(prompt, OPTIONS).tokens, PROMPTS)
            assert list(answers) == alone


def test_another_seed_gives_other_tokens(stories_path: Path, alone: list[tuple[int, ...]]) -> None:
    with Model.open(stories_path) as model:
        assert model.generate(PROMPTS[0], OPTIONS, seed=12).tokens != alone[0]


def test_a_seed_that_was_drawn_gives_the_answer_again(stories_path: Path) -> None:
    with Model.open(stories_path) as model:
        first = model.generate(PROMPTS[0], OPTIONS, seed=None)
        assert model.generate(PROMPTS[0], OPTIONS, seed=first.seed).tokens == first.tokens


def all_logits(engine: Engine, tokens: list[int]) -> np.ndarray:
    return np.concatenate([rows.copy() for rows in engine.logits(tokens)])


@pytest.mark.parametrize("cache", ["f16", "q8_0"])
@pytest.mark.parametrize("type", list(BlockType), ids=lambda type: type.name)
def test_logits_of_every_format_are_the_same_bits_in_any_batch(
    type: BlockType, cache: CacheType
) -> None:
    """All at once on two threads; token by token on one; in uneven pieces beside others."""
    model = load_model(random_model(width=256, feed_forward=512, heads=8, head_width=32, type=type))
    tokens = [int(t) for t in np.random.default_rng(2).integers(0, 100, 70)]
    expected = all_logits(Engine(model, 128, cache, threads=2), tokens)  # [70, V]
    engine = Engine(model, 128, cache, threads=1, parallel=3)
    single, pieces, other = (
        engine.begin(tokens, 70),
        engine.begin(tokens, 70),
        engine.begin([9], 70),
    )
    assert single is not None and pieces is not None and other is not None
    for place, token in enumerate(tokens):
        assert (engine.compute([(single, [token])])[0] == expected[place]).all(), place
    done = 0
    for size in (1, 2, 3, 5, 6, 7, 13, 33):
        new = tokens[done : done + size]
        done += size
        rows = engine.compute([(other, [9, 8, 7]), (pieces, new)])  # [2, V]
        assert (rows[1] == expected[done - 1]).all(), done
