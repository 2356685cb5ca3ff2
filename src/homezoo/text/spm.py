"""SentencePiece vocabularies of LLaMA's kind: characters merged by score, unknown ones as bytes."""

from typing import TYPE_CHECKING

import numpy as np

from homezoo.text.detokenize import SPACE
from homezoo.text.encoder import SHORT, Encoder, merge
from homezoo.text.vocabulary import TokenType, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class SpmEncoder(Encoder):
    """Text gets a space in front, if the model wants one, and spaces are ▁."""

    def __init__(self, vocabulary: Vocabulary, space_prefix: bool, short: int = SHORT) -> None:
        """Raises TokenizerError if the vocabulary has no scores."""
        super().__init__(short)
        self._vocabulary = vocabulary
        self._prefix = SPACE if space_prefix else ""
        scores = vocabulary.scores()  # float32 [V]
        # Tokens that text may give; control tokens and bytes, which are spelt as text, not.
        usable = np.isin(vocabulary.types, [TokenType.NORMAL, TokenType.UNUSED])  # bool [V]
        self._order = np.argsort(-scores, kind="stable")
        self._order = self._order[usable[self._order]]  # usable ids, the highest score first
        self._ranks = dict(zip(vocabulary.tokens, (-scores).tolist(), strict=True))
        for id in np.flatnonzero(~usable).tolist():
            del self._ranks[vocabulary.tokens[id]]

    def encode(self, text: str) -> list[int]:
        """Ids of a text in which nothing is taken for a control token."""
        return super().encode(self._prefix + text.replace(" ", SPACE))

    def encode_short(self, text: str) -> list[int]:
        ranks, ids = self._ranks, self._vocabulary.ids

        def rank(left: str, right: str) -> float | None:
            return ranks.get(left + right) if left in ranks and right in ranks else None

        found: list[int] = []
        unknown = self._vocabulary.unk_id
        unknown_before = False
        for symbol in merge(list(text), rank):
            if symbol in ranks:
                found.append(ids[symbol])
                unknown_before = False
                continue
            spelt = [ids.get(f"<0x{byte:02X}>") for byte in symbol.encode()]
            if None not in spelt:
                found.extend(id for id in spelt if id is not None)
                unknown_before = False
            elif unknown is not None and not unknown_before:
                found.append(unknown)
                unknown_before = True
        return found

    def build_library(self) -> "Tokenizer":
        from tokenizers import Tokenizer
        from tokenizers.models import BPE

        vocabulary = self._vocabulary
        unknown = None if vocabulary.unk_id is None else vocabulary.tokens[vocabulary.unk_id]
        model = BPE(
            vocabulary.ids, self._merges(), unk_token=unknown, fuse_unk=True, byte_fallback=True
        )
        return Tokenizer(model)

    def _merges(self) -> list[tuple[str, str]]:
        """All pairs of tokens that give a token, the highest score of the result first."""
        ranks, tokens = self._ranks, self._vocabulary.tokens
        return [
            (token[:cut], token[cut:])
            for token in map(tokens.__getitem__, self._order.tolist())
            for cut in range(1, len(token))
            if token[:cut] in ranks and token[cut:] in ranks
        ]
