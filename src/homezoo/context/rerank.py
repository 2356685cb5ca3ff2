"""Orders found passages anew: by how likely a language model finds the question after each.

Query likelihood without training (Sachan and others 2022, "Improving Passage Retrieval with
Zero-Shot Question Generation", section 2): a passage that answers a question makes it likely.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from homezoo.context.search import FUSION_K, Hit
from homezoo.errors import ContextError
from homezoo.ops.log_softmax import log_softmax

MOST = 20  # passages that are read: each costs a prefill of its length
Likelihood = Callable[[str, str], float]  # of a passage's text and a question


def question_likelihood(model: Any, passage: str, question: str) -> float:
    """The mean log probability of the question's tokens after the passage, for an open Model.

    Of a passage that leaves no room in the context, its beginning counts. Raises ContextError for
    a question that alone does not fit.
    """
    asked = model.tokenizer.encode(f" {question}")
    head = model.encode_prompt(passage)
    ask = model.tokenizer.encode("\n\nQuestion:")
    room = model.context - len(ask) - len(asked)
    if room < 1:
        raise ContextError(
            f"the question has {len(asked)} tokens and the model's context {model.context}; "
            "shorten it, or give a larger --context"
        )
    logits = _logits_before(model.engine, head[:room] + ask, asked)
    return float(log_softmax(logits)[np.arange(len(asked)), asked].mean())


def _logits_before(engine: Any, prompt: list[int], text: list[int]) -> np.ndarray:
    """The logits that foretell each token of a text after a prompt: float32 [tokens, V]."""
    sequence = engine.begin(prompt, len(prompt) + len(text), engine.choose_adapters(None))
    if sequence is None:
        raise engine.full(len(prompt) + len(text))
    try:
        new = prompt[len(sequence) :] + text[:-1]
        while len(new) > max(engine.chunk, len(text)):
            step = min(engine.chunk, len(new) - len(text))
            engine.compute([(sequence, new[:step])])
            new = new[step:]
        found: np.ndarray = engine.compute([(sequence, new)], [len(text)])
        return found
    finally:
        engine.end(sequence)


def rerank(question: str, hits: Sequence[Hit], likelihood: Likelihood) -> list[Hit]:
    """The hits in the order of search and model together.

    Ranks are fused as those of words and vectors are; the model's rank is in `Hit.ranks`. Hits
    beyond the first MOST are not read, and follow as they were.
    """
    read = list(hits[:MOST])
    values = [likelihood(hit.text, question) for hit in read]
    order = sorted(range(len(read)), key=lambda place: -values[place])
    fused = list(read)
    for rank, place in enumerate(order, 1):
        score = 1 / (FUSION_K + rank) + 1 / (FUSION_K + place + 1)
        ranks = {**read[place].ranks, "model": rank}
        fused[place] = replace(read[place], score=score, ranks=ranks)
    return sorted(fused, key=lambda hit: -hit.score) + list(hits[MOST:])
