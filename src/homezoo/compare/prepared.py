"""What the ways to teach share: their names, their settings, and what a way is once prepared."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

NOTHING, FULL, RETRIEVED = "nothing", "full context", "retrieved context"
TRAINING, EDITING, BOTH = "training", "editing", "training + retrieval"
WAYS = (NOTHING, FULL, RETRIEVED, TRAINING, EDITING, BOTH)


@dataclass(frozen=True)
class Settings:
    """What the ways are prepared with."""

    model: Path
    folder: Path  # for what they make
    threads: int
    passage_tokens: int = 48  # of one passage of the index
    context_tokens: int = 96  # of passages sent with a question
    epochs: int = 20
    rate: float | None = None  # of learning; the trainer's own without it
    rank: int = 16
    budget: float | None = None  # seconds that training may take
    text: str = ""  # ordinary text, for the profile of editing
    layers: tuple[int, ...] | None = None  # of editing; measured without it


@dataclass
class Prepared:
    """A way that is ready. `context` gives what is sent before a question."""

    name: str
    seconds: float = 0.0  # once, for these lessons
    profile_seconds: float = 0.0  # once for the model, whatever is taught later
    bytes: int = 0
    add_seconds: float = 0.0  # to teach one more
    remove_seconds: float = 0.0
    adapter: Path | None = None
    context: Callable[[str], str] = field(default=lambda question: "")
    note: str = ""
    close: Callable[[], None] = field(default=lambda: None)


@contextmanager
def closing(ways: Sequence[Prepared]) -> Iterator[None]:
    """Closes what the ways hold open."""
    with ExitStack() as stack:
        for way in ways:
            stack.callback(way.close)
        yield
