"""From rows to token ids with the ones that are learned marked: completion-only loss."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from homezoo.errors import DataError, TemplateError, TokenizerError
from homezoo.text.prompt import encode_chat
from homezoo.text.template import ChatTemplate
from homezoo.text.tokenizer import Tokenizer
from homezoo.train.data_files import BadRow, PlacedRow
from homezoo.train.rows import Conversation, Row, Text
from homezoo.train.templates import CHAT, make_example, make_messages

# Texts after which the tokens of a continuation can be told; the first that does not merge with it.
_ANCHORS = ("\n", ":", "a", ".")


@dataclass(frozen=True, eq=False)
class Document:
    """One sequence to train on; attention stays inside it."""

    tokens: np.ndarray  # int32 [n]
    labelled: np.ndarray  # bool [n]: to be predicted from the tokens before; never the first

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Encoded:
    """Documents in the order of their rows, and the rows that gave none."""

    documents: list[Document]
    bad: list[BadRow]
    windows: int  # documents that are parts of longer texts

    @property
    def tokens(self) -> int:
        """Tokens of one epoch."""
        return sum(map(len, self.documents))

    @property
    def labels(self) -> int:
        """Tokens of one epoch that are learned."""
        return sum(int(document.labelled.sum()) for document in self.documents)


class Encoder:
    """Rows to documents in one template. At most `length` tokens each."""

    def __init__(
        self, tokenizer: Tokenizer, template: str, chat: ChatTemplate | None, length: int
    ) -> None:
        """`chat` is the model's own template, needed for `chat` alone: TemplateError."""
        if template == CHAT and chat is None:
            raise TemplateError("the model has no chat template; choose another with --template")
        self._tokenizer = tokenizer
        self._template = template
        self._chat = chat
        self._length = length

    def encode(self, rows: Sequence[PlacedRow]) -> Encoded:
        """All rows. A row that is too long, or that the template refuses, is a bad one."""
        found = Encoded([], [], 0)
        windows = 0
        for placed in rows:
            try:
                documents = self._documents(placed.row)
            except (DataError, TemplateError, TokenizerError) as error:
                found.bad.append(BadRow(placed.place, str(error)))
                continue
            windows += len(documents) if isinstance(placed.row, Text) else 0
            found.documents.extend(documents)
        return Encoded(found.documents, found.bad, windows)

    def _documents(self, row: Row) -> list[Document]:
        if isinstance(row, Text):
            return self._windows(row.text)
        if self._template == CHAT or (isinstance(row, Conversation) and self._chat):
            documents = self._turns(make_messages(row))
        else:
            example = make_example(self._template, row)
            documents = [self._example(example.prompt, example.answer)]
        longest = max(map(len, documents))
        if longest > self._length:
            raise DataError(f"is {longest} tokens long; --length is {self._length}")
        return documents

    def _example(self, prompt: str, answer: str) -> Document:
        tokenizer = self._tokenizer
        given = tokenizer.encode(prompt, bos=tokenizer.adds_bos) if prompt else self._begin()
        whole = tokenizer.encode(prompt + answer, bos=tokenizer.adds_bos)
        learned = _rest(given, whole, lambda: continuation(tokenizer, answer))
        return _document(given, learned + self._end())

    def _turns(self, messages: Sequence[Mapping[str, Any]]) -> list[Document]:
        """One document, or more where the template rewrites earlier turns.

        Every answer is then learned behind the very tokens that precede it at run time.
        """
        assert self._chat is not None
        done: list[Document] = []
        tokens: list[int] = []
        labelled: list[bool] = []
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before, after = messages[:number], messages[: number + 1]
            given = encode_chat(self._chat, self._tokenizer, before)
            if given[: len(tokens)] != tokens and tokens:
                done.append(_marked(tokens, labelled))
                tokens, labelled = [], []
            labelled += [False] * (len(given) - len(tokens))
            learned, rest = self._answer(given, before, after)
            tokens = given + learned + rest
            labelled += [True] * len(learned) + [False] * len(rest)
        return [*done, _marked(tokens, labelled)]

    def _answer(
        self,
        given: list[int],
        before: Sequence[Mapping[str, Any]],
        after: Sequence[Mapping[str, Any]],
    ) -> tuple[list[int], list[int]]:
        """An answer's tokens up to the one that ends it, and what the template puts after that."""
        assert self._chat is not None
        prefix = self._chat.render_marked(before)
        text = self._chat.render_marked(after, add_generation_prompt=False)
        whole = encode_chat(self._chat, self._tokenizer, after, add_generation_prompt=False)
        if not str.startswith(text, prefix):
            raise DataError(
                "does not fit the model's template: what stands before an answer changes once it "
                "is given; use --template alpaca, or another model"
            )
        answer = text[len(prefix) :]
        learned = _rest(given, whole, lambda: continuation(self._tokenizer, answer, special=True))
        for place, token in enumerate(learned):
            if token in self._tokenizer.end_ids:
                return learned[: place + 1], learned[place + 1 :]
        return learned + self._end(), []

    def _windows(self, text: str) -> list[Document]:
        """A text in parts of at most `length` tokens, all of it learned."""
        tokens = self._tokenizer.encode(text) + self._end()
        first = self._begin()
        room = self._length - len(first)
        parts = [tokens[start : start + room] for start in range(0, len(tokens), room)]
        return [_document(first, part) for part in parts if len(first) + len(part) > 1]

    def _begin(self) -> list[int]:
        tokenizer = self._tokenizer
        return [tokenizer.bos_id] if tokenizer.adds_bos and tokenizer.bos_id is not None else []

    def _end(self) -> list[int]:
        return [] if self._tokenizer.eos_id is None else [self._tokenizer.eos_id]


def continuation(tokenizer: Tokenizer, text: str, special: bool = False) -> list[int]:
    """Tokens of a text that goes on with another, so without the space some put before a text.

    TokenizerError when they cannot be told from what stands before.
    """
    for anchor in _ANCHORS:
        before = tokenizer.encode(anchor)
        whole = tokenizer.encode(anchor + text, special=special)
        if whole[: len(before)] == before:
            return whole[len(before) :]
    raise TokenizerError(f"the text {text!r:.40} merges with whatever stands before it")


def _rest(given: list[int], whole: list[int], apart: Callable[[], list[int]]) -> list[int]:
    """What follows `given` in `whole`; encoded apart where tokens cross the border.

    The prompt keeps its tokens, because at run time it is all there is.
    """
    return whole[len(given) :] if whole[: len(given)] == given else apart()


def _document(given: list[int], learned: list[int]) -> Document:
    return _marked(given + learned, [False] * len(given) + [True] * len(learned))


def _marked(tokens: list[int], labelled: list[bool]) -> Document:
    marks = np.array(labelled, bool)
    marks[:1] = False  # nothing stands before the first token to predict it from
    if not marks.any():
        raise DataError("has no token to learn")
    return Document(np.array(tokens, np.int32), marks)
