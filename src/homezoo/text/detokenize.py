"""Turns tokens into bytes and text, whole or one at a time, never splitting a character."""

from codecs import getincrementaldecoder
from collections.abc import Iterable
from enum import Enum

from homezoo.errors import TokenizerError
from homezoo.text.vocabulary import TokenType, Vocabulary

SPACE = "▁"  # how SentencePiece's vocabularies spell a space


_DIVIDERS = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)


class Spelling(Enum):
    """How a vocabulary writes the text of its normal tokens."""

    BYTE_ALPHABET = "each byte as one of GPT-2's 256 characters"
    SPACE_MARKS = "text with ▁ for a space"


def byte_alphabet() -> dict[str, int]:
    """GPT-2's 256 printable characters and the bytes that they stand for.

    Printable bytes stand for themselves, the others, in order, for the characters from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(256 + index): byte for index, byte in enumerate(others)}


class Detokenizer:
    """Bytes and text of tokens. Needs no encoder."""

    def __init__(self, vocabulary: Vocabulary, spelling: Spelling, space_prefix: bool) -> None:
        """`space_prefix`: encoding puts a space before text, which decoding takes away again."""
        self._vocabulary = vocabulary
        self._spelling = spelling
        self.space_prefix = space_prefix
        self._alphabet = byte_alphabet()
        self._types = vocabulary.types.tobytes()  # a TokenType each; quicker to index than NumPy

    def token_bytes(self, id: int) -> bytes:
        """The bytes that a token stands for; a control token's are its name."""
        vocabulary = self._vocabulary
        if not 0 <= id < len(vocabulary):
            raise TokenizerError(
                f"token {id} is out of range; the vocabulary has {len(vocabulary)}"
            )
        token, type = vocabulary.tokens[id], self._types[id]
        if type == TokenType.BYTE:
            return bytes([byte_value(token)])
        if type in _DIVIDERS:
            return token.encode()
        if self._spelling is Spelling.SPACE_MARKS:
            return token.replace(SPACE, " ").encode()
        alphabet = self._alphabet
        try:
            return bytes([alphabet[character] for character in token])
        except KeyError:  # a token added by hand, spelt as plain text
            return token.encode()

    def is_hidden(self, id: int) -> bool:
        """Whether a token is shown only where control tokens are."""
        control = self._types[id] in (TokenType.CONTROL, TokenType.UNKNOWN)
        return bool(control and id not in self._vocabulary.shown_ids)

    def is_divider(self, id: int) -> bool:
        """Whether a token is matched as a whole text: text behind it gets a prefix of its own."""
        return bool(self._types[id] in _DIVIDERS)

    def decode(self, ids: Iterable[int], special: bool) -> str:
        """The text of tokens; bytes that are no UTF-8 give U+FFFD."""
        stream = TextStream(self, special)
        return "".join([stream.push(id) for id in ids]) + stream.finish()


class TextStream:
    """Text of tokens as they come; never part of a character.

    Bytes that can no longer become UTF-8 give U+FFFD as soon as that is certain.
    """

    def __init__(self, detokenizer: Detokenizer, special: bool, continues: bool = False) -> None:
        """`continues`: text stands before the first token, so its space is a real one."""
        self._detokenizer = detokenizer
        self._special = special
        self._strip_space = detokenizer.space_prefix and not continues
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def push(self, id: int) -> str:
        """The text that is certain once this token is there; may be empty."""
        detokenizer = self._detokenizer
        data = detokenizer.token_bytes(id)
        if not self._special and detokenizer.is_hidden(id):
            return ""
        if detokenizer.is_divider(id):
            self._strip_space = detokenizer.space_prefix
        elif self._strip_space:
            data = data.removeprefix(b" ")
            self._strip_space = False
        return self._decoder.decode(data)

    def finish(self) -> str:
        """What is left: U+FFFD for a character that never became whole, or nothing."""
        return self._decoder.decode(b"", final=True)


def byte_value(token: str) -> int:
    """The byte that a byte token such as `<0x0A>` names; TokenizerError for another spelling."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        try:
            return int(token[3:5], 16)
        except ValueError:
            pass
    raise TokenizerError(f"byte token is spelt {token!r}; expected <0x00> to <0xFF>")
