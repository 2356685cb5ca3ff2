"""What a user may fix of an editing profile."""

from dataclasses import dataclass, field

from homezoo.edit.sites import Position
from homezoo.edit.solve import Method
from homezoo.edit.targets import SearchSettings

PLANNED = 100  # facts that λ is chosen for unless the user says how many there will be
CONTEXTS = 2


@dataclass(frozen=True)
class Wishes:
    """What the user fixes; None is measured."""

    position: Position | None = None
    layers: tuple[int, ...] | None = None
    strength: float | None = None
    protected: float | None = None
    gain: float | None = None  # tried with the two before it; 1 where both are given
    planned: int = PLANNED
    contexts: int = CONTEXTS
    templates: int = 1
    method: Method = "memit"
    spread: bool = False
    search: SearchSettings = field(default_factory=SearchSettings)
