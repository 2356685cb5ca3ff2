"""The ragged batch: any mix of prompts and single tokens of any sequences, in one forward pass."""

from collections.abc import Sequence as Items
from dataclasses import dataclass, field

import numpy as np

from homezoo.errors import ContextError, OptionError
from homezoo.models.cache import Sequence

# Tokens of one pass: enough to be limited by arithmetic and not by reading the weights, few enough
# that Ctrl-C and other sequences wait little.
CHUNK = 512


@dataclass(frozen=True, eq=False)
class Batch:
    """T tokens of S sequences. The tokens of a sequence stand in order of position.

    `blocks` is the page table: cache block numbers of each sequence, block j holding positions
    j·64 … j·64+63; entries beyond a sequence's length are not read.
    """

    tokens: np.ndarray  # int32 [T], token ids
    positions: np.ndarray  # int32 [T], position in the token's own sequence, from 0
    sequences: np.ndarray  # int32 [T], row of `blocks` that the token belongs to
    blocks: np.ndarray  # int32 [S, B], cache blocks of each sequence
    rows: np.ndarray  # int32 [R], tokens whose logits (or states) are wanted
    strengths: np.ndarray = field(  # float32 [S, M], how strongly each adapter counts; 0: it is off
        default_factory=lambda: np.zeros((0, 0), np.float32)
    )


def build_batch(
    parts: Items[tuple[Sequence, list[int]]],
    every_row: bool = False,
    last_rows: Items[int] | None = None,
) -> Batch:
    """Extends each sequence by its new tokens and returns the batch that computes them all.

    Logits are wanted of each part's last token; of so many last ones as `last_rows` says for each;
    or of every token with `every_row`. A sequence may stand in one part only. Raises ContextError
    when a part does not fit; then none is changed.
    """
    starts = [len(sequence) for sequence, _ in parts]
    for index, (sequence, new) in enumerate(parts):
        try:
            sequence.extend(new)
        except ContextError:
            for (earlier, _), start in zip(parts[:index], starts, strict=False):
                earlier.truncate(start)
            raise
    counts = np.array([len(new) for _, new in parts], np.int32)  # [S]
    total = int(counts.sum())
    pages = np.zeros((len(parts), max((len(s.blocks) for s, _ in parts), default=0)), np.int32)
    for row, (sequence, _) in enumerate(parts):
        pages[row, : len(sequence.blocks)] = sequence.blocks
    return Batch(
        tokens=np.array([token for _, new in parts for token in new], np.int32),
        positions=np.concatenate(
            [np.arange(n, dtype=np.int32) + start for n, start in zip(counts, starts, strict=True)]
        ).astype(np.int32),
        sequences=np.repeat(np.arange(len(parts), dtype=np.int32), counts),
        blocks=pages,
        rows=np.arange(total, dtype=np.int32) if every_row else _last_rows(counts, last_rows),
        strengths=_strengths([sequence for sequence, _ in parts]),
    )


def pack_documents(documents: Items[Items[int]], rows: Items[int] | None = None) -> Batch:
    """Whole documents one after another, each a sequence of its own, for passes without a cache.

    `rows` are the tokens whose logits are wanted, by default every one. OptionError for an empty
    document.
    """
    counts = np.array([len(document) for document in documents], np.int64)  # [S]
    if not counts.all():
        raise OptionError(f"document {int(np.argmin(counts))} of the batch has no tokens")
    total = int(counts.sum())
    starts = np.cumsum(counts) - counts
    return Batch(
        tokens=np.array([token for document in documents for token in document], np.int32),
        positions=(np.arange(total) - np.repeat(starts, counts)).astype(np.int32),
        sequences=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        blocks=np.zeros((len(counts), 0), np.int32),
        rows=np.arange(total, dtype=np.int32) if rows is None else np.array(rows, np.int32),
    )


def _strengths(sequences: Items[Sequence]) -> np.ndarray:
    """The adapters' strengths for each sequence: float32 [S, M], M one above the highest number."""
    count = max((number + 1 for s in sequences for number, _ in s.adapters), default=0)
    table = np.zeros((len(sequences), count), np.float32)
    for row, sequence in enumerate(sequences):
        for number, strength in sequence.adapters:
            table[row, number] = strength
    return table


def _last_rows(counts: np.ndarray, wanted: Items[int] | None) -> np.ndarray:
    """The last tokens of each part [S], as many as are wanted: int32 [R]."""
    ends = np.cumsum(counts, dtype=np.int32)  # [S]
    if wanted is None:
        return (ends - 1)[counts > 0]
    rows = [np.arange(end - n, end, dtype=np.int32) for end, n in zip(ends, wanted, strict=True)]
    return np.concatenate(rows)
