"""Where a user's programs keep what can be made again."""

import os
from pathlib import Path


def user_cache() -> Path:
    """$XDG_CACHE_HOME, by default ~/.cache (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
