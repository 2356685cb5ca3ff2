"""Which bytes of a file have been fetched, and the state file that remembers them.

The state never claims a byte that is not on the disk: the data is synced before the state is
written, and the state replaces its predecessor in one step.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATE_VERSION = 1


@dataclass
class Ranges:
    """Disjoint, sorted half-open ranges of bytes."""

    spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, start: int, end: int) -> None:
        """Join a range with those it touches."""
        if start >= end:
            return
        kept = []
        for first, last in self.spans:
            if last < start or first > end:
                kept.append((first, last))
            else:
                start, end = min(start, first), max(end, last)
        self.spans = sorted([*kept, (start, end)])

    def missing(self, size: int, step: int) -> list[tuple[int, int]]:
        """What is not covered of bytes 0 to `size`, cut at multiples of `step`, in order."""
        gaps, position = [], 0
        for first, last in [*self.spans, (size, size)]:
            while position < first:
                end = min(first, (position // step + 1) * step)
                gaps.append((position, end))
                position = end
            position = max(position, last)
        return gaps

    @property
    def prefix(self) -> int:
        """Bytes from the beginning without a gap."""
        return self.spans[0][1] if self.spans and self.spans[0][0] == 0 else 0

    @property
    def total(self) -> int:
        """Bytes covered."""
        return sum(last - first for first, last in self.spans)

    def copy(self) -> "Ranges":
        """An own list of the same ranges."""
        return Ranges(list(self.spans))


@dataclass(frozen=True)
class State:
    """What a state file says about the .part file beside it."""

    digest: str
    size: int
    validator: str | None  # entity tag of the storage, for If-Range
    done: Ranges


def load_state(path: Path, digest: str, size: int) -> State:
    """The state at `path` if it is of this very file, else an empty one."""
    empty = State(digest, size, None, Ranges())
    try:
        found = json.loads(path.read_text("utf-8"))
        if (found["version"], found["digest"], found["size"]) != (STATE_VERSION, digest, size):
            return empty
        validator = found["validator"]
        return State(
            digest, size, validator if isinstance(validator, str) else None, _checked(found, size)
        )
    except (OSError, ValueError, KeyError, TypeError):  # absent, or not written by us: start anew
        return empty


def _checked(found: dict[str, Any], size: int) -> Ranges:
    done = Ranges()
    for start, end in found["done"]:
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= size):
            raise ValueError(f"range {start}, {end}")
        done.add(start, end)
    return done


def save_state(path: Path, state: State) -> None:
    """Replace the state file in one step."""
    content = {
        "version": STATE_VERSION,
        "digest": state.digest,
        "size": state.size,
        "validator": state.validator,
        "done": state.done.spans,
    }
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
