"""A model's order of passages: likelihoods are those of its logits, ranks are fused."""

import numpy as np
import pytest
from context.test_ask import hit, model, searcher  # noqa: F401 (fixtures)

from homezoo.context.ask import prepare
from homezoo.context.rerank import MOST, question_likelihood, rerank
from homezoo.context.search import Searcher
from homezoo.errors import ContextError
from homezoo.ops.log_softmax import log_softmax
from homezoo.run.model import Model


def test_the_likelihood_is_that_of_the_logits(model: Model) -> None:  # noqa: F811
    passage, question = "Once upon a time there was a bear. " * 4, "Who was there?"
    prompt = model.encode_prompt(passage) + model.tokenizer.encode("\n\nQuestion:")
    asked = model.tokenizer.encode(f" {question}")
    logits = model.logits(prompt + asked)[len(prompt) - 1 : -1]
    expected = log_softmax(logits)[np.arange(len(asked)), asked].mean()
    model.engine.chunk, whole = 7, model.engine.chunk  # the passage in several passes
    try:
        assert question_likelihood(model, passage, question) == pytest.approx(expected, abs=1e-5)
    finally:
        model.engine.chunk = whole
    assert question_likelihood(model, passage, question) == pytest.approx(expected, abs=1e-5)


def test_a_long_passage_is_cut_and_a_long_question_refused(model: Model) -> None:  # noqa: F811
    long = "Once upon a time. " * model.context
    assert np.isfinite(question_likelihood(model, long, "Who?"))
    with pytest.raises(ContextError, match="the question has .* tokens and the model's context"):
        question_likelihood(model, "A bear.", long)


def test_ranks_of_search_and_model_are_fused() -> None:
    hits = [hit(f"passage {n}", n) for n in range(MOST + 2)]
    likely = {"passage 1": -1.0, "passage 19": -2.0, "passage 0": -3.0}
    found = rerank("Why?", hits, lambda text, _: likely.get(text, -9.0))
    # 1/61 + 1/62 twice over: 1 is first of the model and second of the search; 0 third and first
    assert [f.passage for f in found[:2]] == [1, 0]
    assert found[0].score == pytest.approx(1 / 61 + 1 / 62)
    assert found[0].ranks == {"bm25": 1, "model": 1}
    assert sorted(f.passage for f in found) == list(range(MOST + 2))
    assert [f.passage for f in found[MOST:]] == [MOST, MOST + 1]  # never read
    assert "model" not in found[-1].ranks


def test_ask_reads_the_passages_first(model: Model, searcher: Searcher) -> None:  # noqa: F811
    plain = prepare(searcher, model, "bears lions", "auto", None)
    given = prepare(searcher, model, "bears lions", "auto", None, reranked=True)
    assert {h.passage for h in given.hits} == {h.passage for h in plain.hits}
    assert sorted(h.ranks["model"] for h in given.hits) == list(range(1, len(given.hits) + 1))
