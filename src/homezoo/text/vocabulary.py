"""The vocabulary of a GGUF file: its tokens, their kinds, and the ids that have a meaning.

Keys and kinds are those of the GGUF specification (`tokenizer.ggml.*`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from homezoo.errors import TokenizerError

PREFIX = "tokenizer.ggml."


class TokenType(IntEnum):
    """Kinds of tokens, numbered as in `tokenizer.ggml.token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


# Texts of tokens that end an answer, as the families of models spell them. Files often mark only
# one of theirs as EOS, and a model may end with another; this is the list that llama.cpp grew.
_END_TEXTS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<｜end▁of▁sentence｜>", "[e~[",
)  # fmt: skip
# Padding and separators of fill-in-the-middle training: after one of them comes another file.
_FILE_END_TEXTS = (
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>",
    "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>",
)  # fmt: skip
_END_ID_KEYS = ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep")
# Marks inside an answer of the harmony format (gpt-oss): shown, never an end.
_HARMONY_TEXTS = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and ids. V is the number of tokens."""

    model: str
    tokens: list[str]  # [V], as the file spells them
    ids: dict[str, int]
    types: np.ndarray  # uint8 [V], TokenType
    metadata: Mapping[str, Any]
    bos_id: int | None
    eos_id: int | None
    unk_id: int | None
    end_ids: frozenset[int]
    shown_ids: frozenset[int]  # control tokens that belong to an answer's text

    @classmethod
    def from_metadata(
        cls, metadata: Mapping[str, Any], model: str, defaults: Mapping[str, int]
    ) -> "Vocabulary":
        """Read and check; `defaults` are ids that the model's kind has when the file is silent.

        Raises TokenizerError with the value for what is missing, repeated or out of range.
        """
        tokens = _strings(metadata, "tokens")
        if not tokens:
            raise TokenizerError(f"{PREFIX}tokens is empty; the file has no vocabulary")
        ids = dict(zip(tokens, range(len(tokens)), strict=True))
        if "" in ids:  # a placeholder, as converters leave them
            tokens = [token or f"[EMPTY_{id}]" for id, token in enumerate(tokens)]
            ids = dict(zip(tokens, range(len(tokens)), strict=True))
        if len(ids) != len(tokens):
            first = next(id for id, token in enumerate(tokens) if ids[token] != id)
            raise TokenizerError(
                f"token {tokens[first]!r} is in the vocabulary twice, as {first} and as "
                f"{ids[tokens[first]]}"
            )
        special = {
            name: _special_id(metadata, name, len(tokens), defaults.get(name))
            for name in ("bos", "eos", "unknown", "eot", "eom", "fim_pad", "fim_rep", "fim_sep")
        }
        types = _types(metadata, len(tokens))
        end_ids, shown_ids = _find_ends(ids, types, [special[key] for key in _END_ID_KEYS])
        return cls(
            model, tokens, ids, types, metadata,
            special["bos"], special["eos"], special["unknown"], end_ids, shown_ids,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def strips_after(self) -> frozenset[int]:
        """Control tokens that take away the white space behind them.

        GGUF has no key for that; as in llama.cpp, the model's name tells: Phi-3's do.
        """
        name = str(self.metadata.get("general.name", "")).lower()
        if "phi-3" not in name and "phi3" not in name:
            return frozenset()
        kept = {self.ids.get(text) for text in ("<unk>", "<s>", "<|endoftext|>")}
        special = self.of_type(TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
        return frozenset(special) - kept

    def of_type(self, *types: TokenType) -> list[int]:
        """Ids of the tokens of these kinds, ascending."""
        return [int(id) for id in np.flatnonzero(np.isin(self.types, [int(t) for t in types]))]

    def flag(self, name: str, default: bool) -> bool:
        """`tokenizer.ggml.<name>`, or the default; TokenizerError if it is no bool."""
        value = self.metadata.get(PREFIX + name, default)
        if not isinstance(value, (bool, np.bool_)):
            raise TokenizerError(f"{PREFIX}{name} is {value!r}; expected true or false")
        return bool(value)

    def require(self, name: str) -> None:
        """TokenizerError if the file has no `tokenizer.ggml.<name>`."""
        _required(self.metadata, name)

    def scores(self) -> np.ndarray:
        """float32 [V]; TokenizerError if the file has none or the wrong number of them."""
        return _numbers(self.metadata, "scores", len(self), "fiu").astype(np.float32)

    def merges(self) -> list[str]:
        """Merges as the file spells them, first the most urgent; TokenizerError if missing."""
        return _strings(self.metadata, "merges")


def _required(metadata: Mapping[str, Any], name: str) -> Any:
    value = metadata.get(PREFIX + name)
    if value is None:
        raise TokenizerError(f"{PREFIX}{name} is missing; the file's vocabulary cannot be used")
    return value


def _strings(metadata: Mapping[str, Any], name: str) -> list[str]:
    value = _required(metadata, name)
    if isinstance(value, (str, bytes, np.ndarray)) or not hasattr(value, "__iter__"):
        raise TokenizerError(f"{PREFIX}{name} is {value!r:.60}; expected an array of strings")
    strings = value.tolist() if hasattr(value, "tolist") else list(value)
    if strings and not isinstance(strings[0], str):
        raise TokenizerError(f"{PREFIX}{name} starts with {strings[0]!r}; expected strings")
    return strings


def _numbers(metadata: Mapping[str, Any], name: str, count: int, kinds: str) -> np.ndarray:
    """The array [count] at `tokenizer.ggml.<name>`, of these NumPy kinds."""
    numbers = np.asarray(_required(metadata, name))
    if numbers.ndim != 1 or numbers.dtype.kind not in kinds:
        raise TokenizerError(f"{PREFIX}{name} is of type {numbers.dtype}; expected numbers")
    if len(numbers) != count:
        raise TokenizerError(f"{PREFIX}{name} has {len(numbers)} items for {count} tokens")
    return numbers


def _types(metadata: Mapping[str, Any], count: int) -> np.ndarray:
    """uint8 [count]; kinds that the specification does not know count as normal."""
    if PREFIX + "token_type" not in metadata:
        return np.full(count, TokenType.NORMAL, dtype=np.uint8)
    types = _numbers(metadata, "token_type", count, "iu")
    known = (types >= TokenType.NORMAL) & (types <= TokenType.BYTE)
    return np.where(known, types, TokenType.NORMAL).astype(np.uint8)


def _special_id(
    metadata: Mapping[str, Any], name: str, count: int, default: int | None
) -> int | None:
    key = f"{PREFIX}{name}_token_id"
    value = metadata.get(key)
    if value is None:
        return default if default is None or default < count else None
    if not isinstance(value, (int, np.integer)) or not 0 <= value < count:
        raise TokenizerError(f"{key} is {value!r}; expected an id below {count}")
    return int(value)


def _find_ends(
    ids: dict[str, int], types: np.ndarray, given: list[int | None]
) -> tuple[frozenset[int], frozenset[int]]:
    """Ids that end an answer, and control tokens inside of one. All are control in `types` then.

    A file that takes <|im_end|> for a word was converted badly; one that takes </s> for a word,
    as Qwen's do, means the HTML tag. `types` is uint8 [V].
    """
    by_text = {
        text: ids[text]
        for text in (*_END_TEXTS, *_FILE_END_TEXTS)
        if text in ids and ("|" in text or types[ids[text]] != TokenType.NORMAL)
    }
    ends = set(by_text.values()) | {id for id in given if id is not None}
    shown = {ids[text] for text in _HARMONY_TEXTS if text in ids}
    calls = "<|call|>" in by_text and "<|return|>" in by_text
    flushes = "<|calls|>" in by_text and "<|flush|>" in by_text
    if "<|end|>" in by_text and (calls or flushes):  # there it ends a message, and more follow
        ends.discard(by_text["<|end|>"])
        shown.add(by_text["<|end|>"])
    types[[*by_text.values(), *shown]] = TokenType.CONTROL
    if "</s>" in by_text and "<|tool_response>" in by_text:  # Gemma 4: the HTML tag
        ends.discard(by_text["</s>"])
        types[by_text["</s>"]] = TokenType.NORMAL
    return frozenset(ends), frozenset(shown)
