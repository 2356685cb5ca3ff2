"""Prompts of one call that begin alike are computed once, and the answers stay the same."""

from pathlib import Path

from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions

TEXT = "Once upon a time there was a big red ball. " * 12  # several blocks of the cache
OPTIONS = GenerationOptions(seed=3, max_tokens=12)


def test_identical_prompts_share_one_prefill(stories_path: Path) -> None:
    with Model.open(stories_path, parallel=4) as model:
        answers = model.generate_many([TEXT] * 4, OPTIONS)
        length = answers[0].prompt_tokens
        assert [a.timings.prefill_tokens for a in answers] == [length, 1, 1, 1]
        assert {a.tokens for a in answers} == {answers[0].tokens}
    with Model.open(stories_path) as model:
        assert model.generate(TEXT, OPTIONS).tokens == answers[0].tokens


def test_a_common_beginning_is_computed_once(stories_path: Path) -> None:
    prompts = [TEXT + end for end in ("Lily", "Tom saw it", "")] + ["A dog"]
    with Model.open(stories_path, parallel=4) as model:
        together = model.generate_many(prompts, OPTIONS)
        assert sum(a.timings.prefill_tokens for a in together) < 1.5 * together[0].prompt_tokens
    for prompt, answer in zip(prompts, together, strict=True):
        with Model.open(stories_path) as model:
            assert model.generate(prompt, OPTIONS).tokens == answer.tokens


def test_sharing_with_a_small_chunk_and_little_room(stories_path: Path) -> None:
    with Model.open(stories_path) as model:
        expected = model.generate(TEXT, OPTIONS).tokens
    with Model.open(stories_path, parallel=1) as model:
        model.engine.chunk = 40
        answers = model.generate_many([TEXT] * 5, OPTIONS)
        assert [a.tokens for a in answers] == [expected] * 5
        assert not model.engine._promised
