"""Answers held to a JSON schema, regular expression, choices or grammar, by llguidance."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from homezoo.errors import ConstraintError
from homezoo.text.tokenizer import Tokenizer

# Between the parts of JSON: nothing, a space, or a line break with an indent. Bounded, because JSON
# itself would let a small model write white space until its tokens run out.
JSON_SPACE = r"( |\n[ \t]{0,20})?"
# llguidance's mark of tokens that are not text: a byte that UTF-8 never contains.
NOT_TEXT = b"\xff"


@dataclass(frozen=True)
class Constraint:
    """What an answer must look like; made by one of four constructors, compiled when used."""

    kind: str
    source: str  # as llguidance takes it

    @staticmethod
    def json_schema(schema: Mapping[str, Any] | str | None = None) -> "Constraint":
        """JSON that fits a schema (a mapping or its text); without one, any JSON object.

        Raises ConstraintError when the schema is not a JSON object.
        """
        from llguidance import LLMatcher

        source: Any = {"type": "object"} if schema is None else schema
        try:
            source = json.loads(source) if isinstance(source, str) else source
            if not isinstance(source, Mapping):
                raise TypeError(f"it is {type(source).__name__}")
            defaults: Any = {"whitespace_flexible": True, "whitespace_pattern": JSON_SPACE}
            text = LLMatcher.grammar_from_json_schema(dict(source), defaults=defaults)
        except (TypeError, ValueError) as error:
            raise ConstraintError(
                f"the JSON schema cannot be read: {one_line(error)}; expected a JSON object"
            ) from None
        return Constraint("JSON schema", text)

    @staticmethod
    def regex(pattern: str) -> "Constraint":
        """Text that a regular expression matches whole, in Rust's syntax: no look-around."""
        from llguidance import LLMatcher

        return Constraint("regular expression", LLMatcher.grammar_from_regex(pattern))

    @staticmethod
    def choices(texts: Sequence[str]) -> "Constraint":
        """One of some texts. Raises ConstraintError when there are none, or one is empty."""
        from llguidance import LLMatcher

        if isinstance(texts, str) or not texts or not all(texts):
            raise ConstraintError(f"choices are {texts!r}; expected a list of texts, none empty")
        rules = " | ".join(json.dumps(text) for text in texts)
        return Constraint("choices", LLMatcher.grammar_from_lark(f"start: {rules}"))

    @staticmethod
    def grammar(lark: str) -> "Constraint":
        """Text of a context-free grammar in llguidance's dialect of Lark, from its rule `start`."""
        from llguidance import LLMatcher

        return Constraint("grammar", LLMatcher.grammar_from_lark(lark))


class ConstraintCompiler:
    """A vocabulary as llguidance wants it, made once per model: 0.35 s for 128 000 tokens."""

    def __init__(
        self,
        tokens: Sequence[bytes],
        not_text: Iterable[int],
        end_ids: Iterable[int],
        encode: Callable[[str], list[int]],
    ) -> None:
        """The bytes of every token; which ids are no text, and which end an answer.

        `encode` cuts what a grammar forces into the tokens that the model is used to.
        """
        from llguidance import LLTokenizer, TokenizerWrapper

        marked = list(tokens)
        for token in {*not_text, *end_ids}:
            marked[token] = NOT_TEXT + (marked[token] or b"<%d>" % token)
        ends = sorted(end_ids)
        if not ends:  # llguidance needs one; the sampler never sees an id beyond the vocabulary
            ends = [len(marked)]
            marked.append(NOT_TEXT + b"<end>")
        self.vocab_size = len(tokens)
        self._tokens = tokens
        self._encode = encode
        self._tokenizer: Any = None  # llguidance asks for a first cut while it is being made
        self._tokenizer = LLTokenizer(
            TokenizerWrapper(_Vocabulary(marked, ends[0], self._cut)), eos_token=ends
        )

    @staticmethod
    def for_tokenizer(tokenizer: Tokenizer) -> "ConstraintCompiler":
        """The compiler for a model's vocabulary."""
        return ConstraintCompiler(
            [tokenizer.token_bytes(id) for id in range(tokenizer.vocab_size)],
            tokenizer.control_ids,
            tokenizer.end_ids,
            tokenizer.encode,
        )

    def start(self, constraint: Constraint) -> "ConstraintMatcher":
        """A matcher at an answer's beginning; ConstraintError says why one cannot be compiled."""
        from llguidance import LLMatcher

        matcher = LLMatcher(self._tokenizer, constraint.source, log_level=0)
        if matcher.is_error():
            raise ConstraintError(
                f"the {constraint.kind} cannot be used: {one_line(matcher.get_error())}"
            )
        return ConstraintMatcher(constraint.kind, matcher, self.vocab_size)

    def _cut(self, text: str) -> list[int]:
        """The usual tokens of a forced text, or the longest where those would add a space."""
        ids = self._encode(text)
        if b"".join(self._tokens[token] for token in ids) == text.encode():
            return ids
        return [] if self._tokenizer is None else list(self._tokenizer.greedy_tokenize(text))


class ConstraintMatcher:
    """Follows one answer through its constraint."""

    def __init__(self, kind: str, matcher: Any, vocab_size: int) -> None:
        """Use ConstraintCompiler.start."""
        self._kind = kind
        self._matcher = matcher
        self._vocab_size = vocab_size

    def allowed(self) -> np.ndarray:
        """Which tokens may come next, bool [V]; ends of an answer only where it is complete."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        return np.unpackbits(bits, count=self._vocab_size, bitorder="little").view(np.bool_)

    def accept(self, token: int) -> None:
        """Moves on by a token that was allowed; ConstraintError when it was not."""
        self._matcher.consume_token(token)
        self._check()

    def forced(self) -> list[int]:
        """Tokens of the only text that may come next, as they are usually cut; often none."""
        tokens = [int(token) for token in self._matcher.compute_ff_tokens()]
        self._check()
        return tokens

    def allowed_prefix(self, tokens: list[int]) -> list[int]:
        """The longest beginning of some tokens that may come next."""
        count = int(self._matcher.validate_tokens(tokens))
        self._check()
        return tokens[:count]

    @property
    def complete(self) -> bool:
        """Whether the answer so far fits the constraint as it stands."""
        return bool(self._matcher.is_accepting())

    @property
    def finished(self) -> bool:
        """Whether it is complete and nothing can be added."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise ConstraintError(
                f"the {self._kind} cannot be followed: {one_line(self._matcher.get_error())}"
            )


@dataclass(frozen=True)
class _Vocabulary:
    """What llguidance's wrapper asks of a tokenizer."""

    tokens: list[bytes]
    eos_token_id: int
    encode: Callable[[str], list[int]]
    bos_token_id: int | None = None
    special_token_ids: tuple[int, ...] = ()

    def __call__(self, text: str) -> list[int]:
        if not isinstance(text, str):  # the wrapper tries whether bytes are taken
            raise TypeError("expected text")
        return self.encode(text)


def one_line(error: object) -> str:
    """The message of an error on one line, at most 300 characters of it."""
    return " ".join(str(error).split())[:300]
