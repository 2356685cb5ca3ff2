"""Prefixes, chunks and batches never change a result; nothing that fails damages a sequence."""

import numpy as np
import pytest
from random_models import random_model

from homezoo.errors import ContextError, OptionError
from homezoo.models.load import load_model
from homezoo.run.engine import Engine

PROMPT = [int(token) for token in np.random.default_rng(1).integers(0, 100, 150)]


def engine_of(context: int = 256, parallel: int = 1) -> Engine:
    model = load_model(random_model())
    return Engine(model, context, backend="reference", parallel=parallel)


def last_logits(engine: Engine, tokens: list[int]) -> np.ndarray:
    """Logits after the last token, of a sequence that the engine then keeps."""
    sequence = engine.begin(tokens, len(tokens))
    assert sequence is not None
    out = engine.compute([(sequence, tokens[len(sequence) :])])[-1].copy()
    engine.end(sequence)
    return out


@pytest.fixture(scope="module")
def fresh() -> np.ndarray:
    return last_logits(engine_of(), PROMPT)


@pytest.mark.parametrize("reused", [1, 63, 64, 65, 149])
def test_a_reused_prefix_gives_the_same_logits_as_a_fresh_one(
    fresh: np.ndarray, reused: int
) -> None:
    engine = engine_of()
    last_logits(engine, PROMPT[:reused])
    sequence = engine.begin(PROMPT, len(PROMPT))
    assert sequence is not None and len(sequence) == reused
    np.testing.assert_array_equal(engine.compute([(sequence, PROMPT[reused:])])[-1], fresh)


def test_a_prefix_that_another_conversation_goes_on_with_is_shared(fresh: np.ndarray) -> None:
    engine = engine_of(parallel=2)
    other = [*PROMPT[:100], 7, 8, 9]
    last_logits(engine, other)
    assert (last_logits(engine, PROMPT) == fresh).all()
    assert (last_logits(engine, other) == last_logits(engine_of(), other)).all()  # left as it was


def test_the_same_prompt_again_computes_its_last_token_only(fresh: np.ndarray) -> None:
    engine = engine_of()
    last_logits(engine, PROMPT)
    sequence = engine.begin(PROMPT, len(PROMPT))
    assert sequence is not None and len(sequence) == len(PROMPT) - 1
    assert (engine.compute([(sequence, PROMPT[-1:])])[0] == fresh).all()


def test_every_row_at_once_equals_token_by_token(fresh: np.ndarray) -> None:
    engine = engine_of()
    rows = np.concatenate([part.copy() for part in engine.logits(PROMPT[:40])])
    sequence = engine.begin(PROMPT[:40], 40)
    assert sequence is not None
    for place, token in enumerate(PROMPT[:40]):
        assert (engine.compute([(sequence, [token])])[0] == rows[place]).all()


def test_states_are_those_the_output_matrix_is_applied_to() -> None:
    model = load_model(random_model())
    engine = Engine(model, 64, backend="exact")
    states = np.concatenate(list(engine.states(PROMPT[:10])))  # [10, D]
    logits = np.concatenate(list(engine.logits(PROMPT[:10])))  # [10, V]
    assert states.shape == (10, model.config.width)
    weight = random_model().arrays["output.weight"]
    np.testing.assert_allclose(states @ weight.T, logits, rtol=1e-4, atol=1e-5)


def test_a_prompt_that_does_not_fit_is_an_error_with_both_numbers() -> None:
    with pytest.raises(ContextError, match="prompt has 150 tokens and the context 149"):
        engine_of(149).begin(PROMPT, 150)
    assert engine_of(150).begin(PROMPT, 150) is not None


@pytest.mark.parametrize(("tokens", "message"), [([], "0 tokens"), ([3, 100], "100"), ([-1], "-1")])
def test_wrong_prompts_are_errors(tokens: list[int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        engine_of().begin(tokens, 1)


@pytest.mark.parametrize("name", ["context", "parallel", "chunk"])
def test_sizes_out_of_range_are_errors(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} is 0"):
        Engine(load_model(random_model()), **{"context": 8, name: 0})  # type: ignore[arg-type]


def test_an_unknown_backend_is_an_error_that_lists_them() -> None:
    with pytest.raises(OptionError, match="'gpu'; expected one of native, reference"):
        Engine(load_model(random_model()), 8, backend="gpu")


def test_an_interrupted_pass_leaves_its_sequences_as_they_were(
    monkeypatch: pytest.MonkeyPatch, fresh: np.ndarray
) -> None:
    engine = engine_of()
    last_logits(engine, PROMPT[:50])
    sequence = engine.begin(PROMPT, 150)
    assert sequence is not None and len(sequence) == 50
    free = engine.cache.free_blocks

    def interrupted(batch: object) -> np.ndarray:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(engine._backend, "logits", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.compute([(sequence, PROMPT[50:])])
    assert len(sequence) == 50 and engine.cache.free_blocks == free
    assert (engine.compute([(sequence, PROMPT[50:])])[0] == fresh).all()


def test_room_is_taken_from_finished_sequences_and_never_from_running_ones() -> None:
    engine = engine_of(128, parallel=2)  # 4 blocks
    first = engine.begin(PROMPT[:10], 128)
    second = engine.begin([5], 64)
    assert first is not None and second is not None
    assert engine.begin([6], 128) is None  # two blocks are wanted, one is left
    engine.end(second)
    third = engine.begin([6], 128)
    assert third is not None
    assert engine.begin([7], 1) is None
    engine.compute([(first, PROMPT[:10]), (third, [6] * 128)])
    engine.compute([(first, PROMPT[10:128])])  # what was promised is there
    with pytest.raises(ContextError, match="running answers"):
        next(engine.logits([1, 2, 3]))


def test_a_sequence_that_must_wait_takes_nothing_from_one_that_runs() -> None:
    engine = engine_of(64)  # one block
    running = engine.begin(PROMPT[:10], 64)
    assert running is not None
    engine.compute([(running, PROMPT[:10])])
    assert engine.begin(PROMPT[:20], 64) is None  # though it begins alike
    for token in PROMPT[10:64]:
        engine.compute([(running, [token])])


def test_many_finished_sequences_never_fill_the_cache_for_good() -> None:
    engine = engine_of(128)
    for start in range(100):
        tokens = [start, *PROMPT[start % 20 : 60 + start % 20]]
        sequence = engine.begin(tokens, 128)
        assert sequence is not None
        sequence.extend(tokens[len(sequence) :])  # as a pass would
        engine.end(sequence)
    assert engine.begin([99], 128) is not None


def test_a_cache_of_q8_0_computes_and_shares_like_the_other() -> None:
    model = load_model(random_model(head_width=32, width=128))
    engine = Engine(model, 256, cache="q8_0", backend="reference")
    alone = last_logits(engine, PROMPT)
    assert (last_logits(engine, PROMPT) == alone).all()
