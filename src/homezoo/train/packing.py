"""Packs whole documents into passes of a given number of tokens, for every epoch anew."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from homezoo.train.documents import Document

# Passes filled at once: a document goes where it fits best among these. More fill them better, but
# sort the documents of an epoch by length.
_OPEN = 32


@dataclass(frozen=True, eq=False)
class Pack:
    """Documents of one pass. Row i, a place in the tokens, is to predict target i."""

    numbers: tuple[int, ...]  # of the documents, among all
    documents: tuple[Document, ...]
    rows: np.ndarray  # int32 [R]
    targets: np.ndarray  # int64 [R]

    @property
    def tokens(self) -> int:
        """T."""
        return sum(map(len, self.documents))

    @property
    def labels(self) -> int:
        """R."""
        return len(self.rows)


def make_pack(numbers: Sequence[int], documents: Sequence[Document]) -> Pack:
    """A pack of chosen documents, whose places are counted through all of them."""
    chosen = tuple(documents[number] for number in numbers)
    tokens = np.concatenate([document.tokens for document in chosen])  # [T]
    labelled = np.concatenate([document.labelled for document in chosen])  # [T]
    places = np.flatnonzero(labelled)
    return Pack(
        tuple(numbers), chosen, (places - 1).astype(np.int32), tokens[places].astype(np.int64)
    )


def fill(lengths: Sequence[int], order: Sequence[int], size: int) -> list[list[int]]:
    """Numbers of documents for each pass of at most `size` tokens; every document once.

    Best fit among the open passes (Johnson 1973); the fullest is closed when there are too many.
    """
    done: list[list[int]] = []
    opened: list[tuple[int, list[int]]] = []  # tokens and numbers
    for number in order:
        length = lengths[number]
        fitting = [i for i, (used, _) in enumerate(opened) if used + length <= size]
        if fitting:
            best = max(fitting, key=lambda i: opened[i][0])
            used, numbers = opened[best]
            numbers.append(number)
            opened[best] = (used + length, numbers)
        else:
            opened.append((length, [number]))
        if len(opened) > _OPEN:
            fullest = max(range(len(opened)), key=lambda i: opened[i][0])
            done.append(opened.pop(fullest)[1])
    return done + [numbers for _, numbers in opened]


class Epochs:
    """The batches of one epoch after another, each `batch` packs; the seed decides the order.

    Batch number n is the same however training came there, so that it can be resumed.
    """

    def __init__(self, documents: Sequence[Document], size: int, batch: int, seed: int) -> None:
        self._documents = documents
        self._lengths = [len(document) for document in documents]
        self._size = size
        self._batch = batch
        self._seed = seed

    def packs(self, epoch: int) -> list[list[int]]:
        """Numbers of the documents of each pass of an epoch, in the order they are trained on."""
        random = np.random.default_rng([self._seed, epoch])
        order = random.permutation(len(self._documents)).tolist()
        packs = fill(self._lengths, order, self._size)
        return [packs[place] for place in random.permutation(len(packs))]

    def steps(self, epochs: int) -> int:
        """Batches of so many epochs."""
        return sum(-(-len(self.packs(epoch)) // self._batch) for epoch in range(epochs))

    def batches(self, start: int = 0) -> Iterator[list[Pack]]:
        """Batches from number `start` on, without end."""
        number, epoch = 0, 0
        while True:
            packs = self.packs(epoch)
            for first in range(0, len(packs), self._batch):
                if number >= start:
                    chosen = packs[first : first + self._batch]
                    yield [make_pack(numbers, self._documents) for numbers in chosen]
                number += 1
            epoch += 1


def hold_out(count: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of documents to train on and of those to validate with, at least one each."""
    held = min(max(round(count * fraction), 1), count - 1)
    order = np.random.default_rng([seed, 1 << 20]).permutation(count).tolist()
    return sorted(order[held:]), sorted(order[:held])
