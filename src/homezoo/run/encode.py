"""Text to one vector: by an encoder in its own token form, or by any model's last states."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from homezoo.errors import TokenizerError
from homezoo.run.engine import Engine
from homezoo.text.tokenizer import Tokenizer

# GGUF's keys, with its spelling; the first that a file has counts.
FIRST = ("tokenizer.ggml.cls_token_id", "tokenizer.ggml.bos_token_id")
LAST = ("tokenizer.ggml.seperator_token_id", "tokenizer.ggml.eos_token_id")


def encode_text(
    engine: Engine, tokenizer: Tokenizer, metadata: Mapping[str, Any], text: str
) -> np.ndarray:
    """The pooled states of [CLS] text [SEP] with length 1: float32 [D].

    Pooled as the file says: the mean over all tokens, or the first token's states (CLS). Raises
    TokenizerError when the file does not name the two tokens, ContextError for too long a text.
    """
    tokens = [
        _token(metadata, FIRST),
        *tokenizer.encode(text),
        _token(metadata, LAST),
    ]
    states = np.concatenate(list(engine.states(tokens)))  # [T, D]
    first = engine.model.config.pooling == "cls"
    pooled = states[0] if first else states.mean(axis=0, dtype=np.float64)
    return (pooled / np.linalg.norm(pooled)).astype(np.float32)


def mean_states(engine: Engine, tokens: list[int]) -> np.ndarray:
    """The mean over the tokens of the last layer's states, final-normed: float32 [D]."""
    total = np.zeros(engine.model.config.width, np.float64)
    for states in engine.states(tokens):  # [some, D]
        total += states.sum(axis=0, dtype=np.float64)
    return (total / len(tokens)).astype(np.float32)


def _token(metadata: Mapping[str, Any], keys: tuple[str, str]) -> int:
    for key in keys:
        if isinstance(number := metadata.get(key), (int, np.integer)):
            return int(number)
    raise TokenizerError(f"{keys[0]} is missing; an encoder needs its first and last token")
