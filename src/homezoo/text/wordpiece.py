"""WordPiece vocabularies of BERT models: the longest piece that fits, word by word."""

from typing import TYPE_CHECKING

from homezoo.errors import TokenizerError
from homezoo.text.detokenize import SPACE
from homezoo.text.encoder import Encoder
from homezoo.text.vocabulary import TokenType, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_INSIDE = "##"  # the library's mark of a piece that continues a word; GGUF marks the others with ▁
_NO_LIMIT = 1 << 30  # characters of a word: long words are cut into pieces like any other


class WordPieceEncoder(Encoder):
    """The library does it all: these vocabularies are small."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Raises TokenizerError if there is no token for unknown words."""
        super().__init__(short=-1)
        if vocabulary.unk_id is None:
            raise TokenizerError("the vocabulary has no token for unknown words")
        self._vocabulary = vocabulary
        self._unknown = vocabulary.tokens[vocabulary.unk_id]

    def encode_short(self, text: str) -> list[int]:
        return self._built().encode(text, add_special_tokens=False).ids

    def build_library(self) -> "Tokenizer":
        from tokenizers import Tokenizer
        from tokenizers.models import WordPiece
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        vocabulary = self._vocabulary
        lowercase = vocabulary.flag("normalizer.lowercase", True)
        accents = vocabulary.flag("normalizer.strip_accents", lowercase)
        pieces = {
            token[1:] if token.startswith(SPACE) else _INSIDE + token: id
            for id, token in enumerate(vocabulary.tokens)
            if vocabulary.types[id] in (TokenType.NORMAL, TokenType.UNUSED)
        }
        pieces[self._unknown] = vocabulary.ids[self._unknown]
        model = WordPiece(
            pieces,
            unk_token=self._unknown,
            continuing_subword_prefix=_INSIDE,
            max_input_chars_per_word=_NO_LIMIT,
        )
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = BertNormalizer(lowercase=lowercase, strip_accents=accents)
        tokenizer.pre_tokenizer = BertPreTokenizer()
        return tokenizer
