"""Computed prompts on disk: found by the next process, the same bits, bound to what made them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from homezoo.formats.adapter_file import Adapter
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions
from homezoo.run.prompt_store import PromptStore, stored_prompts

PROMPT = [1, *(3 + (7 * n) % 400 for n in range(399))]
OPTIONS = GenerationOptions(temperature=0, max_tokens=12, top_logprobs=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prompts"


@contextmanager
def opened(path: Path, folder: Path) -> Iterator[Model]:
    """A model as a new process would have it."""
    with Model.open(path, threads=1) as model, stored_prompts(model, True, folder):
        yield model


def cached(path: Path, folder: Path, tokens: list[int]) -> int:
    with opened(path, folder) as model:
        return model.generate(tokens, OPTIONS).cached_tokens


def test_the_second_start_finds_the_first_ones_prompt_to_the_bit(
    stories_path: Path, folder: Path
) -> None:
    with opened(stories_path, folder) as model:
        first = model.generate(PROMPT, OPTIONS)
    with opened(stories_path, folder) as model:
        second = model.generate(PROMPT, OPTIONS)
    assert (first.cached_tokens, second.cached_tokens) == (0, 384)  # six whole blocks of 64
    assert second.tokens == first.tokens and second.logprobs == first.logprobs


def test_every_value_in_the_cache_is_what_would_be_computed(
    stories_path: Path, folder: Path
) -> None:
    with opened(stories_path, folder) as model:
        model.generate(PROMPT, OPTIONS)
        (kept,) = model.engine.kept
        expected = [array[kept.blocks[:6]].copy() for array in model.engine.cache.k]
    with opened(stories_path, folder) as model:
        assert model.engine.recall is not None
        model.engine.recall(PROMPT[:-1], ())
        (kept,) = model.engine.kept
        for array, before in zip(model.engine.cache.k, expected, strict=True):
            assert np.array_equal(array[kept.blocks], before)


def test_another_question_about_the_same_text_uses_its_beginning(
    stories_path: Path, folder: Path
) -> None:
    assert cached(stories_path, folder, PROMPT) == 0
    assert cached(stories_path, folder, [*PROMPT[:330], 5, 6, 7]) == 320
    assert cached(stories_path, folder, [2, *PROMPT]) == 0
    assert cached(stories_path, folder, PROMPT[:200]) == 0  # below what is worth a file


def test_a_longer_prompt_takes_the_place_of_its_beginning(stories_path: Path, folder: Path) -> None:
    cached(stories_path, folder, PROMPT[:300])
    assert len(list(folder.iterdir())) == 1
    cached(stories_path, folder, PROMPT)
    (only,) = folder.iterdir()
    assert cached(stories_path, folder, PROMPT) == 384
    assert list(folder.iterdir()) == [only] and only.stat().st_mode & 0o077 == 0


def test_nothing_serves_another_model_or_adapter(
    stories_path: Path, folder: Path, tmp_path: Path
) -> None:
    cached(stories_path, folder, PROMPT)
    copy = tmp_path / "other.gguf"
    content = bytearray(stories_path.read_bytes())
    content[-1] ^= 1  # the last weight
    copy.write_bytes(content)
    assert cached(copy, folder, PROMPT) == 0
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 64)), random.standard_normal((64, 2))
    weight = "blk.0.attn_q"

    def found(factor: float, strength: float) -> int:
        deltas = {weight: (a.astype(np.float32), (factor * b).astype(np.float32))}
        with opened(stories_path, folder) as model:
            model.attach(Adapter("llama", 2.0, deltas), strength, name="one")
            return model.generate(PROMPT, OPTIONS).cached_tokens

    cases = [(1, 1), (2, 1), (1, 0.5)]
    assert [found(*case) for case in cases] == [0, 0, 0]
    assert [found(*case) for case in cases] == [384, 384, 384]
    assert found(1, 0) == 384  # at strength 0 it is the base


@pytest.mark.parametrize("damage", ["cut", "flip", "head", "empty"])
def test_a_damaged_file_is_dropped_and_the_answer_is_right(
    stories_path: Path, folder: Path, damage: str
) -> None:
    with opened(stories_path, folder) as model:
        first = model.generate(PROMPT, OPTIONS)
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-100] ^= 4
    elif damage == "head":
        content[:8] = b"hzkv\xff\xff\xff\xff"
    path.write_bytes(content[: {"cut": 5000, "empty": 0}.get(damage, len(content))])
    with opened(stories_path, folder) as model:
        again = model.generate(PROMPT, OPTIONS)
    assert again.cached_tokens == 0 and again.tokens == first.tokens
    assert cached(stories_path, folder, PROMPT) == 384  # it was written anew


def test_the_folder_stays_within_its_size(stories_path: Path, folder: Path) -> None:
    cached(stories_path, folder, PROMPT)
    size = next(folder.iterdir()).stat().st_size
    with Model.open(stories_path) as model:
        store = PromptStore(model, folder, most_bytes=2 * size)
        for start in (5, 6, 7):
            model.generate([start, *PROMPT], OPTIONS)
            store.save()
            assert len(list(folder.iterdir())) <= 2


def test_nothing_is_written_unless_asked_for(stories_path: Path, folder: Path) -> None:
    with Model.open(stories_path) as model, stored_prompts(model, False, folder):
        model.generate(PROMPT, OPTIONS)
    assert not folder.exists()
