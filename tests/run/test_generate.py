"""The loop on the real model: endings, stop texts, streams, cancelling, constraints."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from homezoo.errors import ConstraintError, ContextError, HomezooError, OptionError
from homezoo.run.backend import BackendName
from homezoo.run.constrain import Constraint
from homezoo.run.model import Model

GOLDEN = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball. She wanted to play with it, but it was too high.\n"
    "Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. She "
    "said, \"I want to play with your ball, but I can't find it.\"\nLily was sad and didn't know "
    "what to do. She said, \"I'm sorry, Lily. I didn't know what to do.\"\nLily didn't want to "
    "help her mom, so she"
)


@pytest.fixture(scope="module")
def model(stories_path: Path) -> Model:
    return Model.open(stories_path)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", ["native", "reference", "exact"])
def test_the_golden_text(stories_path: Path, backend: BackendName, threads: int) -> None:
    with Model.open(stories_path, backend=backend, threads=threads) as model:
        answer = model.generate("", temperature=0, max_tokens=200)
    assert answer.text == GOLDEN
    assert answer.stop_reason == "length" and len(answer.tokens) == 200
    assert answer.prompt_tokens == 1


def test_an_answer_goes_on_where_the_prompt_ends(model: Model) -> None:
    for cut in (4, 16, 40, 53):
        text = model.generate(GOLDEN[:cut], temperature=0, max_tokens=30).text
        ids = model.encode_prompt(GOLDEN[:cut])
        whole = [*ids, *model.generate(ids, temperature=0, max_tokens=30).tokens]
        assert GOLDEN[:cut] + text == model.tokenizer.decode(whole)


def test_stream_pieces_are_the_answer(model: Model) -> None:
    stream = model.stream("", temperature=0, max_tokens=60)
    pieces = list(stream)
    assert len(pieces) > 20 and all(pieces)
    assert (
        "".join(pieces)
        == stream.answer.text
        == model.generate("", temperature=0, max_tokens=60).text
    )


def test_the_rest_of_a_stream_can_be_asked_for_at_once(model: Model) -> None:
    stream = model.stream("", temperature=0, max_tokens=60)
    first = next(stream)
    assert stream.answer.text.startswith(first) and len(stream.answer.tokens) == 60
    assert list(stream) == []


@pytest.mark.parametrize("stop", ["girl", " named Lily.", "e girl n", "Once", "y. She l"])
def test_stop_texts_are_never_shown_in_part(model: Model, stop: str) -> None:
    stream = model.stream("", temperature=0, max_tokens=100, stop=["never said", stop])
    shown = ""
    for piece in stream:
        shown += piece
        assert GOLDEN[: GOLDEN.index(stop)].startswith(shown)
    assert shown == stream.answer.text == GOLDEN[: GOLDEN.index(stop)]
    assert stream.answer.stop_reason == "stop"


def test_a_stop_text_that_does_not_come_holds_nothing_back_at_the_end(model: Model) -> None:
    answer = model.generate(
        "", temperature=0, max_tokens=3, stop=["Once upon a time, there was no"]
    )
    assert answer.text and GOLDEN.startswith(answer.text) and answer.stop_reason == "length"


def test_the_models_end_ends_the_answer(model: Model) -> None:
    end = model.tokenizer.eos_id
    assert end is not None
    answer = model.generate("Once", temperature=0, max_tokens=9, logit_bias={end: 100.0})
    assert (answer.stop_reason, answer.text, answer.tokens) == ("end", "", ())
    beyond = model.generate(
        "Once", temperature=0, max_tokens=9, logit_bias={end: 100.0}, ignore_end=True
    )
    assert beyond.stop_reason == "length" and beyond.tokens == (end,) * 9 and beyond.text == ""


def test_the_context_ends_an_answer_and_every_position_is_used(stories_path: Path) -> None:
    with Model.open(stories_path, context=30) as model:
        answer = model.generate("", temperature=0)
        assert answer.stop_reason == "context"
        assert (
            len(answer.tokens) == 30
        )  # BOS and 29 of them fill the context; the 30th needs no place
        assert GOLDEN.startswith(answer.text)


def test_a_prompt_that_fills_the_context_still_gets_one_token(stories_path: Path) -> None:
    with Model.open(stories_path, context=30) as model:
        prompt = [1, *range(300, 329)]
        assert len(model.generate(prompt, temperature=0).tokens) == 1
        with pytest.raises(ContextError, match="31 tokens and the context 30"):
            model.generate([*prompt, 329])


@pytest.mark.parametrize(("prompt", "message"), [([], "0 tokens"), ([512], "512"), ([-1], "-1")])
def test_wrong_prompts_are_errors(model: Model, prompt: list[int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        model.generate(prompt)


def test_one_text_for_many_is_an_error(model: Model) -> None:
    with pytest.raises(OptionError, match="expected a list"):
        model.generate_many("Once")


def test_unknown_options_are_errors(model: Model) -> None:
    with pytest.raises(OptionError, match="temprature"):
        model.generate("Once", temprature=1)


def test_ctrl_c_keeps_what_there_is_and_the_model_goes_on(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = model.stream("", temperature=0, max_tokens=200)
    shown = "".join(next(stream) for _ in range(10))
    compute = model.engine._backend.logits
    with monkeypatch.context() as patched:
        patched.setattr(model.engine._backend, "logits", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(stream)
    assert model.engine._backend.logits is compute
    assert stream.answer.stop_reason == "cancelled" and stream.answer.text.startswith(shown)
    assert list(stream) == [] and not model.engine._promised
    assert model.generate("", temperature=0, max_tokens=200).text == GOLDEN


def _interrupt(batch: object) -> np.ndarray:
    raise KeyboardInterrupt


def test_cancel_from_another_thread(model: Model) -> None:
    stream = model.stream("", temperature=0)
    next(stream)
    thread = threading.Thread(target=stream.cancel)
    thread.start()
    thread.join()
    assert list(stream) == [] and stream.answer.stop_reason == "cancelled"
    assert GOLDEN.startswith(stream.answer.text)


def test_a_stream_that_is_never_read_takes_no_room(model: Model) -> None:
    model.stream("Once", max_tokens=400)
    assert not model.engine._promised
    assert model.stream("Once").close().stop_reason == "cancelled"


def test_a_stream_left_behind_gives_its_room_back(model: Model) -> None:
    stream = model.stream("Once")
    next(stream)
    del stream
    assert not model.engine._promised


def test_two_streams_side_by_side(model: Model) -> None:
    one = model.stream("", temperature=0, max_tokens=100)
    two = model.stream("Once upon a time", temperature=0, max_tokens=100)
    for first, _ in zip(one, two, strict=False):
        assert first
    assert GOLDEN.startswith(one.answer.text)
    assert GOLDEN.startswith("Once upon a time" + two.answer.text)


def test_a_second_stream_without_room_is_an_error_that_says_what_to_do(model: Model) -> None:
    stream = model.stream("", temperature=0)  # without max_tokens: the whole cache
    next(stream)
    with pytest.raises(ContextError, match="max_tokens"):
        model.generate("Lily")
    stream.close()
    assert model.generate("Lily", max_tokens=2).stop_reason == "length"


def test_logprobs_are_those_of_the_logits(model: Model) -> None:
    answer = model.generate("", seed=3, temperature=1.5, max_tokens=12, top_logprobs=4)
    assert answer.logprobs is not None and len(answer.logprobs) == 12
    logits = model.logits([1, *answer.tokens])[:-1].astype(np.float64)  # [12, V]
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    for place, (row, token) in enumerate(zip(answer.logprobs, answer.tokens, strict=True)):
        assert row.token == token
        assert row.logprob == pytest.approx(expected[place, token], abs=1e-5)
        assert [t for t, _ in row.top] == np.argsort(-expected[place], kind="stable")[:4].tolist()


def test_constrained_answers_are_valid_whatever_is_drawn(model: Model) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "old": {"type": "boolean"}},
        "required": ["name", "old"],
        "additionalProperties": False,
    }
    options = {"constraint": Constraint.json_schema(schema), "temperature": 2.0, "max_tokens": 200}
    for seed in range(5):
        answer = model.generate("A girl: ", seed=seed, **options)
        assert answer.stop_reason == "end"
        assert set(json.loads(answer.text)) == {"name", "old"}


def test_a_first_space_that_a_constraint_asks_for_is_shown(model: Model) -> None:
    for prompt in ("", "Once upon"):
        answer = model.generate(prompt, constraint=Constraint.choices([" a", "  b"]), seed=1)
        assert answer.text in (" a", "  b")


def test_a_constrained_answer_that_is_cut_says_so(model: Model) -> None:
    answer = model.generate("", constraint=Constraint.regex("[a-z]{50}"), max_tokens=3)
    assert answer.stop_reason == "length" and len(answer.tokens) == 3


def test_a_wrong_constraint_is_an_error_before_anything_is_computed(model: Model) -> None:
    with pytest.raises(ConstraintError, match="unclosed group"):
        model.stream("Once", constraint=Constraint.regex("("))


def test_timings_count_what_was_computed(model: Model) -> None:
    model.generate("Once upon a time there", max_tokens=1)
    answer = model.generate("Once upon a time there was", temperature=0, max_tokens=5)
    assert answer.cached_tokens > 0
    assert answer.timings.prefill_tokens == answer.prompt_tokens - answer.cached_tokens
    assert answer.timings.decode_tokens == 4
    assert answer.timings.decode_tokens_per_second > 0 < answer.timings.prefill_tokens_per_second


def test_a_closed_model_says_so(stories_path: Path) -> None:
    model = Model.open(stories_path)
    model.close()
    model.close()
    with pytest.raises(HomezooError, match="closed"):
        model.generate("Once")
