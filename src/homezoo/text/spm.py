"""SentencePiece vocabularies of LLaMA's kind: characters merged by score, unknown ones as bytes."""

from typing import TYPE_CHECKING

import numpy as np

from homezoo.errors import TokenizerError
from homezoo.text.vocabulary import TokenType, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def derive_merges(
    tokens: list[str], scores: np.ndarray, usable: np.ndarray
) -> list[tuple[str, str]]:
    """All pairs of tokens that give a token, the highest score of the result first.

    `scores` is float32 [V], `usable` bool [V]: which tokens may be made and be made from.
    """
    order = np.argsort(-scores, kind="stable")  # int64 [V]
    wanted = [tokens[id] for id in order[usable[order]].tolist()]
    known = set(wanted)
    return [
        (token[:cut], token[cut:])
        for token in wanted
        for cut in range(1, len(token))
        if token[:cut] in known and token[cut:] in known
    ]


def build_spm(vocabulary: Vocabulary) -> "Tokenizer":
    """The library's tokenizer for text in which spaces are ▁ already."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    types = vocabulary.types
    usable = (types == TokenType.NORMAL) | (types == TokenType.UNUSED)
    merges = derive_merges(vocabulary.tokens, vocabulary.scores(), usable)
    unknown = None if vocabulary.unk_id is None else vocabulary.tokens[vocabulary.unk_id]
    try:
        model = BPE(vocabulary.ids, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"the vocabulary cannot be built: {error}") from None
    return Tokenizer(model)
