"""The hash that a hub states for a file: SHA-256 of large files, git's SHA-1 of small ones."""

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from homezoo.errors import HubError


class Hasher(Protocol):
    """What hashlib's objects have in common, as far as it is used."""

    def update(self, data: memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True)
class Digest:
    """A hash by its hexadecimal digits; `hex` names the file's blob in the hub's cache."""

    hex: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", self.hex):
            raise HubError(f"the hub states {self.hex[:80]!r} as hash; expected SHA-256 or SHA-1")

    @classmethod
    def from_etag(cls, etag: str) -> "Digest":
        """From the header X-Linked-Etag or ETag of the hub; HubError when it is no hash."""
        return cls(etag.strip().removeprefix("W/").strip('"'))

    @property
    def name(self) -> str:
        """How the hash is called in messages."""
        return "SHA-256" if len(self.hex) == 64 else "git SHA-1"

    def hasher(self, size: int) -> Hasher:
        """A fresh hasher of a file of `size` bytes."""
        if len(self.hex) == 64:
            return hashlib.sha256()
        # git hashes a header before the content: git-scm.com/book, Git Internals, Git Objects
        return hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
