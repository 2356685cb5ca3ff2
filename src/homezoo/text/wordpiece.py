"""WordPiece vocabularies of BERT models: the longest piece that fits, word by word."""

from typing import TYPE_CHECKING

from homezoo.errors import TokenizerError
from homezoo.text.detokenize import SPACE
from homezoo.text.vocabulary import TokenType, Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_INSIDE = "##"  # the library's mark of a piece that continues a word; GGUF marks the others with ▁
_NO_LIMIT = 1 << 30  # characters of a word: long words are cut into pieces like any other


def build_wordpiece(vocabulary: Vocabulary) -> "Tokenizer":
    """The library's tokenizer for plain text."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    if vocabulary.unk_id is None:
        raise TokenizerError("the vocabulary has no token for unknown words")
    lowercase = vocabulary.flag("normalizer.lowercase", True)
    accents = vocabulary.flag("normalizer.strip_accents", lowercase)
    whole = {*vocabulary.of_type(TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)}
    pieces = {
        token if id in whole else token[1:] if token.startswith(SPACE) else _INSIDE + token: id
        for id, token in enumerate(vocabulary.tokens)
    }
    model = WordPiece(
        pieces,
        unk_token=vocabulary.tokens[vocabulary.unk_id],
        continuing_subword_prefix=_INSIDE,
        max_input_chars_per_word=_NO_LIMIT,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase, strip_accents=accents)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer
