"""Adapters at run time: each answer is computed by its own, and nothing of them is left behind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapters import random_adapter
from random_models import random_model
from zoo_models import zoo_model

from homezoo.errors import AdapterError, OptionError
from homezoo.formats.adapter_file import Adapter, write_adapter
from homezoo.formats.adapter_origin import identify_base, origin_keys
from homezoo.formats.block_types import BlockType
from homezoo.models.cache import Sequence
from homezoo.models.linear import Delta
from homezoo.models.load import load_model
from homezoo.run.engine import Engine
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions

PROMPT = [int(token) for token in np.random.default_rng(1).integers(0, 100, 150)]


def engine_of(backend: str = "native", type: BlockType = BlockType.Q8_0, **options: Any) -> Engine:
    file = random_model(type=type, **options)
    return Engine(load_model(file), 256, backend=backend, threads=2, parallel=6)


def last_logits(engine: Engine, wanted: dict[str, float], tokens: list[int] = PROMPT) -> np.ndarray:
    """Logits [V] of a sequence computed by these adapters, which the engine then keeps."""
    sequence = engine.begin(tokens, len(tokens), engine.choose_adapters(wanted))
    assert sequence is not None
    out = engine.compute([(sequence, tokens[len(sequence) :])])[-1].copy()
    engine.end(sequence)
    return out


def with_two(backend: str = "native", **options: Any) -> Engine:
    engine = engine_of(backend, **options)
    engine.attach("one", random_adapter(engine.model, seed=1))
    engine.attach("two", random_adapter(engine.model, seed=2, rank=5, ending="ffn_down"))
    return engine


@pytest.mark.parametrize("tied", [False, True])
def test_an_adapter_computes_what_deltas_for_all_tokens_compute(tied: bool) -> None:
    engine, plain = engine_of(tied=tied), engine_of(tied=tied)
    adapter = random_adapter(engine.model)
    engine.attach("lesson", adapter)
    for name, (a, b) in adapter.deltas.items():
        plain.model.linears()[name].attach(Delta(a, b, adapter.scale_of(name), "lesson"))
    whole = Engine(plain.model, 256)
    np.testing.assert_array_equal(last_logits(engine, {"lesson": 1}), last_logits(whole, {}))


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_a_batch_gives_every_sequence_its_own_adapters(backend: str) -> None:
    choices = [{}, {"one": 1.0}, {"two": -0.5}, {"one": 0.25, "two": 2.0}, {}]
    tokens = PROMPT[:70]
    alone = [last_logits(with_two(backend), wanted, tokens) for wanted in choices]
    engine = with_two(backend)
    parts = []
    for wanted in choices:
        sequence = Sequence(engine.cache, 256, engine.choose_adapters(wanted))
        engine.compute([(sequence, tokens[:69])])
        parts.append((sequence, tokens[69:]))
    together = engine.compute(parts)  # decoding: one token of each
    for row, logits in enumerate(alone):
        np.testing.assert_array_equal(together[row], logits)
    base = engine_of(backend)
    np.testing.assert_array_equal(alone[0], last_logits(base, {}, tokens))
    assert len({logits.tobytes() for logits in alone}) == 4


@pytest.mark.parametrize("architecture", ["bloom", "gptneox", "gemma2", "llama"])
def test_native_agrees_with_the_reference(architecture: str) -> None:
    found = []
    for backend in ("native", "reference"):
        engine = Engine(load_model(zoo_model(architecture)), 128, backend=backend)
        engine.attach("lesson", random_adapter(engine.model))
        before = last_logits(engine, {}, PROMPT[:20])
        found.append(last_logits(engine, {"lesson": 0.5}, PROMPT[:20]))
        assert np.abs(found[-1] - before).max() > 0.05
    np.testing.assert_allclose(found[0], found[1], atol=5e-3)


def test_detaching_restores_the_base_bit_for_bit() -> None:
    engine = engine_of()
    base = last_logits(engine, {})
    engine.attach("one", random_adapter(engine.model, seed=1))
    engine.attach("two", random_adapter(engine.model, seed=2))
    changed = last_logits(engine, {"one": 1.0, "two": 1.0})
    assert np.abs(changed - base).max() > 0.1
    np.testing.assert_array_equal(last_logits(engine, {}), base)
    engine.detach("one")
    engine.detach("two")
    assert engine.adapters == {}
    np.testing.assert_array_equal(last_logits(engine, {}), base)
    assert all(not linear.deltas for linear in engine.model.linears().values())


def test_an_adapter_of_zeros_changes_no_bit() -> None:
    engine = engine_of()
    base = last_logits(engine, {})
    deltas = {
        name: (a, np.zeros_like(b)) for name, (a, b) in random_adapter(engine.model).deltas.items()
    }
    engine.attach("empty", Adapter("llama", 4.0, deltas))
    np.testing.assert_array_equal(last_logits(engine, {"empty": 1.0}), base)


def test_what_one_adapter_computed_serves_no_other() -> None:
    engine = with_two()
    choices = [{}, {"one": 1.0}, {"one": 0.5}, {"two": 1.0}, {"one": 1.0, "two": 1.0}]
    fresh = [last_logits(with_two(), wanted) for wanted in choices]
    for _ in range(2):  # the second time each finds its own
        for wanted, logits in zip(choices, fresh, strict=True):
            np.testing.assert_array_equal(last_logits(engine, wanted), logits)
    for wanted in choices:
        again = engine.begin(PROMPT, len(PROMPT), engine.choose_adapters(wanted))
        assert again is not None and len(again) == len(PROMPT) - 1
        engine.end(again)
    off = engine.begin(PROMPT, len(PROMPT), engine.choose_adapters({"one": 0.0}))
    assert off is not None and len(off) == len(PROMPT) - 1  # strength 0 is the base


def test_a_new_adapter_of_the_same_name_finds_nothing_of_the_old() -> None:
    engine = engine_of()
    engine.attach("lesson", random_adapter(engine.model, seed=1))
    last_logits(engine, {"lesson": 1.0})
    engine.detach("lesson")
    engine.attach("lesson", random_adapter(engine.model, seed=2))
    other = engine_of()
    other.attach("lesson", random_adapter(other.model, seed=2))
    expected = last_logits(other, {"lesson": 1.0})
    np.testing.assert_array_equal(last_logits(engine, {"lesson": 1.0}), expected)


def test_an_adapter_in_use_cannot_be_detached() -> None:
    engine = with_two()
    sequence = engine.begin(PROMPT, len(PROMPT), engine.choose_adapters({"one": 1.0}))
    assert sequence is not None
    with pytest.raises(OptionError, match="answers with adapter 'one' are running"):
        engine.detach("one")
    engine.end(sequence)
    chosen = engine.choose_adapters({"one": 1.0})
    engine.detach("one")
    with pytest.raises(OptionError, match="was detached before it began"):
        engine.begin(PROMPT, len(PROMPT), chosen)


def test_misfits_are_refused_whole() -> None:
    engine = engine_of()
    sound = dict(random_adapter(engine.model).deltas)
    a, b = sound["blk.0.attn_q"]
    wrong = [
        (Adapter("qwen2", 1.0, sound), "for architecture qwen2; this model is llama"),
        (Adapter("llama", 1.0, sound | {"blk.9.attn_q": (a, b)}), "does not have.*blk.9.attn_q"),
        (Adapter("llama", 1.0, sound | {"blk.1.ffn_up": (a, b)}), r"shape \(64, 64\); in this"),
    ]
    for adapter, message in wrong:
        with pytest.raises(AdapterError, match=message):
            engine.attach("lesson", adapter)
    assert all(not linear.deltas for linear in engine.model.linears().values())
    engine.attach("lesson", Adapter("llama", 1.0, sound))
    with pytest.raises(OptionError, match="named 'lesson' is attached already"):
        engine.attach("lesson", Adapter("llama", 1.0, sound))
    with pytest.raises(OptionError, match=r"no adapter is named 'other'; attached: 'lesson'"):
        engine.choose_adapters({"other": 1.0})
    with pytest.raises(OptionError, match="strength of adapter 'lesson' is nan"):
        engine.choose_adapters({"lesson": float("nan")})


@pytest.fixture
def lesson(stories_path: Path, tmp_path: Path) -> Path:
    """An adapter of the bundled model that knows its base."""
    with Model.open(stories_path) as model:
        base = origin_keys(base=identify_base(model.tensors), base_name="stories")
        adapter = random_adapter(model.engine.model, alpha=0.6, ending="attn_output")
        write_adapter(tmp_path / "lesson.gguf", Adapter("llama", 0.6, adapter.deltas, base))
    return tmp_path / "lesson.gguf"


def test_answers_choose_their_adapters(stories_path: Path, lesson: Path) -> None:
    greedy: dict[str, Any] = {"temperature": 0.0, "max_tokens": 24}
    with Model.open(stories_path, parallel=4) as model:
        base = model.generate("The cat", **greedy).text
        assert model.attach(lesson, 0.8) == "lesson"
        assert model.adapters == {"lesson": 0.8}
        taught = model.generate("The cat", **greedy).text
        assert taught != base
        assert model.generate("The cat", adapters={}, **greedy).text == base
        chosen: list[dict[str, float] | None] = [None, {}, {"lesson": 0.8}, {"lesson": 0.0}]
        options = [GenerationOptions(adapters=wanted) for wanted in chosen]
        many = model.generate_many(["The cat"] * 4, options, **greedy)
        assert [answer.text for answer in many] == [taught, base, taught, base]
        with pytest.raises(OptionError, match="a list of 4 for 1 prompts"):
            model.generate_many(["The cat"], options)
        with pytest.raises(OptionError, match="adapters is 'lesson'; expected names"):
            model.generate("The cat", adapters="lesson")
        model.detach("lesson")
        assert model.generate("The cat", **greedy).text == base


def test_the_wrong_base_is_refused(stories_path: Path, lesson: Path, tmp_path: Path) -> None:
    from homezoo.formats.gguf_read import GGUFFile
    from homezoo.formats.gguf_write import GGUFWriter

    other = tmp_path / "other.gguf"
    with GGUFFile.open(stories_path) as file, GGUFWriter(other) as writer:
        writer.copy_metadata(file.metadata)
        for name, tensor in file.tensors.items():
            writer.declare(name, tensor.type, tensor.shape)
        for name, tensor in file.tensors.items():
            values = tensor.data.view(np.float32) * np.float32(1.01 if "norm" in name else 1.0)
            writer.write(name, values)
    with Model.open(other) as model:
        with pytest.raises(AdapterError, match=r"lesson was made for another base \(stories\)"):
            model.attach(lesson)
        assert model.adapters == {}


def test_another_quantisation_is_warned_of(
    stories_path: Path, lesson: Path, tmp_path: Path
) -> None:
    from homezoo.formats.gguf_read import GGUFFile
    from homezoo.zoo.quantize import quantize_file

    with GGUFFile.open(stories_path) as file:
        quantize_file(file, tmp_path / "small.gguf", "Q8_0")
    with Model.open(tmp_path / "small.gguf") as model:
        with pytest.warns(UserWarning, match="lesson was made for another file of this model"):
            model.attach(lesson)
        assert model.adapters == {"lesson": 1.0}
