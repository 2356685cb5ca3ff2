"""Opening, logits, embeddings, constraint vocabulary: what the public Model promises."""

from pathlib import Path

import numpy as np
import pytest

from homezoo.errors import ContextError, GGUFError, HomezooError, OptionError, UnsupportedError
from homezoo.formats.gguf_read import GGUFFile
from homezoo.run.constrain import Constraint, ConstraintCompiler
from homezoo.run.model import Model
from homezoo.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def model(stories_path: Path) -> Model:
    return Model.open(stories_path)


def test_logits_are_float32_of_every_token_and_the_vocabulary(model: Model) -> None:
    logits = model.logits([1, 403, 407])
    assert logits.shape == (3, 512) and logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert (model.logits(np.array([1, 403], np.int64)) == logits[:2]).all()  # type: ignore[arg-type]
    assert logits.flags.owndata or logits.base is not None
    again = model.logits([1, 5, 6])
    assert (logits[0] == again[0]).all() and not (logits[1] == again[1]).all()


def test_logits_longer_than_one_pass_are_the_same(model: Model) -> None:
    tokens = [1, *np.random.default_rng(0).integers(3, 512, 299).tolist()]
    assert (model.logits(tokens)[:100] == model.logits(tokens[:100])).all()


def test_logits_after_an_answer_are_those_the_answer_came_from(model: Model) -> None:
    answer = model.generate("", temperature=0, max_tokens=20)
    assert model.logits([1, *answer.tokens])[:-1].argmax(axis=1).tolist() == list(answer.tokens)


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([], OptionError, "0 tokens"),
        ([512], OptionError, "512; the vocabulary has 0 to 511"),
        ([1] * 513, ContextError, "513 tokens and the context 512"),
    ],
)
def test_wrong_ids_are_errors(
    model: Model, tokens: list[int], error: type[HomezooError], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.logits(tokens)


def test_an_embedding_is_the_mean_of_the_last_states(model: Model) -> None:
    vector = model.embed("Once upon a time")
    assert vector.shape == (64,) and vector.dtype == np.float32
    tokens = model.encode_prompt("Once upon a time")
    states = np.concatenate([rows.copy() for rows in model.engine.states(tokens)])  # [T, D]
    np.testing.assert_allclose(vector, states.mean(axis=0), rtol=1e-5)
    assert (model.embed("Once upon a time") == vector).all()


def test_embeddings_of_like_texts_are_nearer(model: Model) -> None:
    texts = ["Lily had a red ball.", "Tom had a blue ball.", "“¥§¶ 4711 []{}"]
    one, two, three = (v / np.linalg.norm(v) for v in map(model.embed, texts))
    assert one @ two > one @ three


def test_the_default_context_is_the_models_own_up_to_4096(stories_path: Path) -> None:
    with Model.open(stories_path) as model:
        assert model.context == model.config.context_length == 512
    with Model.open(stories_path, context=77) as model:
        assert model.context == 77


def test_a_context_beyond_what_the_model_was_trained_on_is_told(stories_path: Path) -> None:
    with pytest.warns(UserWarning, match="context of 1000, but the model was trained on 512"):
        Model.open(stories_path, context=1000).close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": 0},
        {"threads": 1000},
        {"context": 0},
        {"cache": "f32"},
        {"backend": "gpu"},
        {"parallel": 0},
    ],
    ids=str,
)
def test_options_out_of_range_are_errors_that_name_them(
    stories_path: Path, wrong: dict[str, object]
) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Model.open(stories_path, **wrong)  # type: ignore[arg-type]


def test_a_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="does not exist"):
        Model.open(tmp_path / "nothing.gguf")


def test_a_format_that_cannot_run_is_an_error_that_names_it(
    stories_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = GGUFFile.open(stories_path)
    monkeypatch.setattr(file, "_unsupported", {"blk.0.attn_q.weight": "IQ2_XXS"})
    monkeypatch.setattr(GGUFFile, "open", lambda path: file)
    with pytest.raises(UnsupportedError, match=r"'blk.0.attn_q.weight' is in format IQ2_XXS"):
        Model.open(stories_path)


def test_a_vocabulary_alone_is_no_model(shared_data: Path) -> None:
    with pytest.raises(HomezooError):
        Model.open(shared_data / "vocab" / "ggml-vocab-qwen2.gguf")


@pytest.mark.parametrize("name", ["llama-spm", "llama-bpe", "gpt-2", "qwen2", "falcon"])
def test_constraints_work_with_real_vocabularies(shared_data: Path, name: str) -> None:
    with GGUFFile.open(shared_data / "vocab" / f"ggml-vocab-{name}.gguf") as file:
        tokenizer = Tokenizer.from_metadata(file.metadata)
    compiler = ConstraintCompiler.for_tokenizer(tokenizer)
    matcher = compiler.start(Constraint.json_schema({"type": "object"}))
    rest = '{"name": "Grüße 🙂", "list": [1, 2.5e3, null]}'.encode()
    ids: dict[bytes, list[int]] = {}
    for id in range(tokenizer.vocab_size):
        ids.setdefault(tokenizer.token_bytes(id), []).append(id)
    while rest:  # the longest allowed token that goes on with the text
        allowed = matcher.allowed()
        assert not allowed[list(tokenizer.end_ids)].any()
        starts = [rest[:length] for length in range(len(rest), 0, -1)]
        token = next(id for start in starts for id in ids.get(start, []) if allowed[id])
        matcher.accept(token)
        rest = rest.removeprefix(tokenizer.token_bytes(token))
    assert matcher.finished
    assert np.flatnonzero(matcher.allowed()).tolist() == sorted(tokenizer.end_ids)
