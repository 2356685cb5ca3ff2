"""The tokenizer of a GGUF file: text to token ids and back, from the file's metadata alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from homezoo.errors import TokenizerError, UnsupportedError
from homezoo.text.bpe import BpeEncoder
from homezoo.text.control_text import ControlText
from homezoo.text.detokenize import Detokenizer, Spelling, TextStream
from homezoo.text.encoder import Encoder
from homezoo.text.pretokenizers import pretokenizer
from homezoo.text.spm import SpmEncoder
from homezoo.text.vocabulary import PREFIX, TokenType, Vocabulary
from homezoo.text.wordpiece import WordPieceEncoder

# Ids that a kind of vocabulary has when its file names none (llama.cpp's defaults).
_SPM_IDS = {"bos": 1, "eos": 2, "unknown": 0}
_BERT_IDS = {"bos": 101, "unknown": 100, "eos": 102}  # [CLS], [UNK], [SEP]
_MODELS = "llama (SPM), gpt2 and gemma4 (BPE), bert (WordPiece)"


class Tokenizer:
    """Text to ids and back. Safe to use from several threads at once.

    `warnings` says what a file leaves out that its tokens depend on.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        encoder: Encoder,
        detokenizer: Detokenizer,
        adds_bos: bool,
        warnings: Sequence[str] = (),
    ) -> None:
        """Use `from_metadata`."""
        self._vocabulary = vocabulary
        self._control_text = ControlText(vocabulary)
        self._encoder = encoder
        self._detokenizer = detokenizer
        self.adds_bos = vocabulary.flag("add_bos_token", adds_bos)
        self.adds_eos = vocabulary.flag("add_eos_token", False)
        self.warnings = tuple(warnings)
        for name, adds, id in (
            ("bos", self.adds_bos, self.bos_id), ("eos", self.adds_eos, self.eos_id)
        ):  # fmt: skip
            if adds and id is None:
                raise TokenizerError(
                    f"{PREFIX}add_{name}_token is true, but {PREFIX}{name}_token_id is missing"
                )

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "Tokenizer":
        """The tokenizer of a GGUF file with this metadata.

        Raises TokenizerError for a vocabulary that is incomplete or contradicts itself,
        UnsupportedError for a kind of tokenizer or pre-tokeniser that is not known.
        """
        model = metadata.get(PREFIX + "model")
        if model == "llama":
            return cls._spm(Vocabulary.from_metadata(metadata, model, _SPM_IDS))
        if model in ("gpt2", "gemma4"):
            return cls._bpe(Vocabulary.from_metadata(metadata, model, {}))
        if model == "bert":
            return cls._bert(Vocabulary.from_metadata(metadata, model, _BERT_IDS))
        if model is None:
            raise TokenizerError(f"{PREFIX}model is missing; the file has no tokenizer")
        raise UnsupportedError(f"tokenizer {model!r} ({PREFIX}model) is unknown; known: {_MODELS}")

    @classmethod
    def _spm(cls, vocabulary: Vocabulary) -> "Tokenizer":
        prefix = vocabulary.flag("add_space_prefix", True)
        detokenizer = Detokenizer(vocabulary, Spelling.SPACE_MARKS, prefix)
        return cls(vocabulary, SpmEncoder(vocabulary, prefix), detokenizer, True)

    @classmethod
    def _bpe(cls, vocabulary: Vocabulary) -> "Tokenizer":
        warnings = []
        name = vocabulary.metadata.get(PREFIX + "pre")
        if vocabulary.model == "gemma4":
            name = "gemma4"
        elif name is None:
            name = "default"
            warnings.append(
                f"{PREFIX}pre is missing; text is cut by the rule 'default', and answers may be "
                "worse than the model's own; convert the model again"
            )
        rule = pretokenizer(name)
        spelling = Spelling.BYTE_ALPHABET if rule.byte_level else Spelling.SPACE_MARKS
        detokenizer = Detokenizer(vocabulary, spelling, False)
        return cls(vocabulary, BpeEncoder(vocabulary, rule), detokenizer, rule.adds_bos, warnings)

    @classmethod
    def _bert(cls, vocabulary: Vocabulary) -> "Tokenizer":
        detokenizer = Detokenizer(vocabulary, Spelling.SPACE_MARKS, True)
        return cls(vocabulary, WordPieceEncoder(vocabulary), detokenizer, True)

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self._vocabulary)

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text, if the model has one."""
        return self._vocabulary.bos_id

    @property
    def eos_id(self) -> int | None:
        """The token that ends a text, if the model has one."""
        return self._vocabulary.eos_id

    @property
    def end_ids(self) -> frozenset[int]:
        """Every token that ends an answer: EOS, end of turn, end of message, and the like."""
        return self._vocabulary.end_ids

    @property
    def control_ids(self) -> list[int]:
        """Tokens that stand for no text: control tokens, the unknown one, and unused ones."""
        return self._vocabulary.of_type(TokenType.CONTROL, TokenType.UNKNOWN, TokenType.UNUSED)

    @property
    def tokens(self) -> Sequence[str]:
        """All tokens as the file spells them."""
        return self._vocabulary.tokens

    def encode(self, text: str, bos: bool = False, special: bool = False) -> list[int]:
        """Token ids of a text, after BOS where asked.

        Names of control tokens are plain text unless `special`, and in marked text wherever they
        come from outside. User-defined tokens, which are text like any other, are always taken
        whole. Raises TokenizerError for text that is not
        Unicode (lone surrogates), and for what the vocabulary cannot spell.
        """
        ids: list[int] = []
        if bos:
            if self.bos_id is None:
                raise TokenizerError("BOS was asked for, but the vocabulary has none")
            ids.append(self.bos_id)
        for piece in self._control_text.split(_checked(text), special):
            if isinstance(piece, int):
                ids.append(piece)
            else:
                ids.extend(self._encoder.encode(str.__str__(piece)))
        return ids

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each of many texts has by itself, names of user-defined tokens spelt."""
        return self._encoder.count([_checked(text) for text in texts])

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """The text of tokens, control tokens only where asked; not UTF-8 gives U+FFFD."""
        return self._detokenizer.decode(ids, special)

    def stream(self, special: bool = False, after: Sequence[int] = ()) -> TextStream:
        """Text of tokens as they come. `after`: the tokens before them, if they go on with a text.

        Vocabularies that put a space before every text take it away from the stream's start,
        unless `after` ends with a token of text.
        """
        continues = bool(after) and not self._detokenizer.is_divider(after[-1])
        return TextStream(self._detokenizer, special, continues)

    def token_bytes(self, id: int) -> bytes:
        """The bytes that a token stands for; a control token's are its name."""
        return self._detokenizer.token_bytes(id)


def _checked(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"character {error.start} of the text, {text[error.start]!r}, is half of a surrogate "
            "pair; give whole Unicode text"
        ) from None
    return text
