"""What edits cost in time: seconds of the clock, by what they went into."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Spent:
    """Sums over all facts that were computed; those that the ledger held cost nothing."""

    facts: int = 0
    keys: float = 0.0  # reading the prompts once, which gives the keys
    residuals: float = 0.0
    passes: int = 0  # through the layers after the edited one, each for a group of facts
    solution: float = 0.0

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Adds the time of the block to a part."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, part, getattr(self, part) + time.perf_counter() - begun)

    @property
    def per_fact(self) -> float:
        """Seconds for keys and residuals of a fact; 0 when none was computed."""
        return (self.keys + self.residuals) / self.facts if self.facts else 0.0

    def __str__(self) -> str:
        parts = [f"solution {self.solution:.2f} s"]
        if self.facts:
            parts = [
                f"keys {self.keys:.2f} s",
                f"residuals {self.residuals:.2f} s in {self.passes} passes",
                *parts,
            ]
            parts.append(f"{1000 * self.per_fact:.0f} ms for each of {self.facts} facts")
        return ", ".join(parts)
