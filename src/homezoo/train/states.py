"""What enters the lowest layer that learns, kept on disk: from the second epoch on, the layers
below it are not computed at all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from homezoo.train.packing import Pack


class StateCache:
    """States of each document, float32 [n, D], as they were computed: a document's states do not
    depend on the others in its pass, so any packing may read them. The file goes with `close`."""

    def __init__(self, path: Path, lengths: Sequence[int], width: int) -> None:
        """Room for documents of these lengths; the disk is taken as it is written."""
        self._path = path
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - np.asarray(lengths)
        self._known = np.zeros(len(lengths), bool)
        shape = (int(self._ends[-1]), width)
        self._states = np.memmap(path, np.float32, "w+", shape=shape)

    def read(self, pack: Pack) -> np.ndarray | None:
        """[T, D] in memory of its own, or None when a document has not been written yet."""
        numbers = list(pack.numbers)
        if not self._known[numbers].all():
            return None
        parts = [self._states[self._starts[n] : self._ends[n]] for n in numbers]
        return np.concatenate(parts)

    def write(self, pack: Pack, states: np.ndarray) -> None:
        """Keeps the states [T, D] of a pack's documents."""
        at = 0
        for number in pack.numbers:
            length = self._ends[number] - self._starts[number]
            self._states[self._starts[number] : self._ends[number]] = states[at : at + length]
            self._known[number] = True
            at += length

    def close(self) -> None:
        """Removes the file."""
        del self._states
        self._path.unlink(missing_ok=True)
