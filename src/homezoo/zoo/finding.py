"""What `homezoo doctor` finds: what is wrong, what it leads to, how it is repaired."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One fault of a model file.

    `fix` holds metadata keys with the values they should have; empty where no metadata can mend it.
    """

    check: str  # such as "template"
    what: str
    leads_to: str
    repair: str
    fix: Mapping[str, Any] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """All of it in one line."""
        return f"{self.check}: {self.what}; {self.leads_to}"
