"""Turns plain text into token ids: short texts at once, long ones by a library that must be built.

Building the library's model of a large vocabulary takes longer than everything else between the
start of a program and its first token, and a first prompt is short. So the first characters are
merged here, from the file's tokens and merges as they are; the rest goes to the library.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from threading import Lock
from typing import TYPE_CHECKING

from homezoo.errors import TokenizerError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Characters that are merged here before the library is built: merging them takes about 20 ms,
# building it 50 to 600 ms.
SHORT = 4_000


class Encoder(ABC):
    """Plain text to ids, for one kind of vocabulary. Safe to use from several threads."""

    def __init__(self, short: int = SHORT) -> None:
        """`short`: how many characters may be merged without the library."""
        self._short_left = short
        self._library: Tokenizer | None = None
        self._lock = Lock()

    def encode(self, text: str) -> list[int]:
        """Ids of a text in which nothing is taken for a control token."""
        if self._library is None and len(text) <= self._short_left:
            self._short_left -= len(text)
            return self.encode_short(text)
        return self._built().encode(text, add_special_tokens=False).ids

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text; many texts at once, on all cores."""
        rows = self._built().encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(row) for row in rows]

    def _built(self) -> "Tokenizer":
        if self._library is None:
            with self._lock:
                if self._library is None:
                    try:
                        self._library = self.build_library()
                    except TokenizerError:
                        raise
                    except Exception as error:  # the library raises bare Exception
                        raise TokenizerError(f"the vocabulary cannot be built: {error}") from None
        return self._library

    @abstractmethod
    def encode_short(self, text: str) -> list[int]:
        """The same as the library gives, without it."""

    @abstractmethod
    def build_library(self) -> "Tokenizer":
        """The library's tokenizer."""


def merge(symbols: list[str], rank: Callable[[str, str], float | None]) -> list[str]:
    """Joins neighbours, the lowest rank first and of equals the leftmost, until none has a rank."""
    after = list(range(1, len(symbols) + 1))  # neighbours that are left: each symbol's next one
    before = list(range(-1, len(symbols) - 1))
    queue: list[tuple[float, int, str, str]] = []
    for index in range(len(symbols) - 1):
        found = rank(symbols[index], symbols[index + 1])
        if found is not None:
            queue.append((found, index, symbols[index], symbols[index + 1]))
    heapify(queue)

    def consider(left: int) -> None:
        right = after[left]
        if right < len(symbols):
            found = rank(symbols[left], symbols[right])
            if found is not None:
                heappush(queue, (found, left, symbols[left], symbols[right]))

    while queue:
        _, left, left_text, right_text = heappop(queue)
        right = after[left]
        if right >= len(symbols) or symbols[left] != left_text or symbols[right] != right_text:
            continue  # one of them has been joined to another meanwhile
        symbols[left] = left_text + right_text
        symbols[right] = ""
        after[left] = after[right]
        if after[left] < len(symbols):
            before[after[left]] = left
        consider(left)
        if before[left] >= 0:
            consider(before[left])
    return [symbol for symbol in symbols if symbol]
