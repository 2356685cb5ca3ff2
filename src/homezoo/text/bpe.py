"""Byte-level BPE vocabularies, as GPT-2 began them, and BPE on text with SentencePiece's spaces."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from homezoo.errors import TokenizerError
from homezoo.text.detokenize import SPACE, byte_alphabet
from homezoo.text.encoder import SHORT, Encoder, merge
from homezoo.text.pretokenizers import PreTokenizer
from homezoo.text.vocabulary import PREFIX, TokenType, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_NEVER_IN_UTF8 = {0xC0, 0xC1, *range(0xF5, 0x100)}


class BpeEncoder(Encoder):
    """Text is cut by the pre-tokeniser's rule, and the pieces are merged in the file's order."""

    def __init__(self, vocabulary: Vocabulary, rule: PreTokenizer, short: int = SHORT) -> None:
        """Raises TokenizerError if the vocabulary has no merges."""
        super().__init__(short)
        vocabulary.require("merges")
        self._vocabulary = vocabulary
        self._rule = rule
        self._ids = vocabulary.ids
        if rule.ignore_merges:  # else plain text that spells a control token would be one
            self._ids = dict(vocabulary.ids)
            for id in vocabulary.of_type(TokenType.CONTROL):
                del self._ids[vocabulary.tokens[id]]
        self._missing: dict[str, int] = {}
        if rule.byte_level:
            self._missing = {
                character: byte
                for character, byte in byte_alphabet().items()
                if character not in self._ids and byte not in _NEVER_IN_UTF8
            }

    def encode(self, text: str) -> list[int]:
        """Ids of a text in which nothing is taken for a control token.

        Raises TokenizerError for a byte that the vocabulary cannot spell.
        """
        for byte in self._missing.values():
            if byte in text.encode():
                raise TokenizerError(f"the vocabulary has no token for byte 0x{byte:02X}")
        return super().encode(text if self._rule.byte_level else text.replace(" ", SPACE))

    def encode_short(self, text: str) -> list[int]:
        found: list[int] = []
        for piece, _ in self._pieces.pre_tokenize_str(text):
            if self._rule.ignore_merges and piece in self._ids:
                found.append(self._ids[piece])
                continue
            for symbol in merge(list(piece), self._rank):
                found.extend(self._spelt(symbol))
        return found

    def _spelt(self, symbol: str) -> list[int]:
        if symbol in self._ids:
            return [self._ids[symbol]]
        if len(symbol) > 1:
            raise self._broken_merge()
        return [self._ids[f"<0x{byte:02X}>"] for byte in symbol.encode()]

    @cached_property
    def _pieces(self) -> Any:
        """The library's pre-tokeniser; needs no vocabulary."""
        from tokenizers import Regex
        from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

        steps: list[Any] = [Split(Regex(pattern), "isolated") for pattern in self._rule.patterns]
        if self._rule.byte_level:
            steps.append(ByteLevel(add_prefix_space=False, use_regex=False))
        return Sequence(steps)

    @cached_property
    def _rank(self) -> Callable[[str, str], float | None]:
        merges = self._vocabulary.merges()
        ranks = dict(zip(merges, range(len(merges)), strict=True))
        return lambda left, right: ranks.get(f"{left} {right}")

    def build_library(self) -> "Tokenizer":
        from tokenizers import Tokenizer
        from tokenizers.models import BPE

        try:
            model = BPE(
                self._ids,
                self._pairs(),
                ignore_merges=self._rule.ignore_merges,
                byte_fallback=not self._rule.byte_level,
            )
        except Exception:  # the library, which is Rust, raises no narrower class
            raise self._broken_merge() from None
        tokenizer = Tokenizer(model)
        tokenizer.pre_tokenizer = self._pieces
        return tokenizer

    def _pairs(self) -> list[tuple[str, str]]:
        """Pairs of tokens, first the most urgent."""
        merges = self._vocabulary.merges()
        flat = " ".join(merges).split(" ")
        if len(flat) == 2 * len(merges):
            return list(zip(flat[::2], flat[1::2], strict=True))
        # Some token has a space in it: the first one behind the first character divides.
        cuts = [merge.find(" ", 1) for merge in merges]
        return [(merge[:cut], merge[cut + 1 :]) for merge, cut in zip(merges, cuts, strict=True)]

    def _broken_merge(self) -> TokenizerError:
        """What is wrong with the merges: looked for when something has gone wrong."""
        for index, (left, right) in enumerate(self._pairs()):
            for part in (left, right, left + right):
                if part not in self._ids:
                    return TokenizerError(
                        f"merge {index} of {PREFIX}merges, {f'{left} {right}'!r:.80}, needs token "
                        f"{part!r:.80}, which the vocabulary has not"
                    )
        return TokenizerError(f"{PREFIX}merges cannot be used with {PREFIX}tokens")
