"""Where indexes lie on this machine, by name."""

import os
import re
from pathlib import Path

from homezoo.errors import OptionError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
SUFFIX = ".sqlite"


def index_folder() -> Path:
    """$XDG_DATA_HOME/homezoo/indexes, by default ~/.local/share/homezoo/indexes."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "homezoo" / "indexes"


def index_path(name: str) -> Path:
    """The file of an index: a name's own, or the path given when it has a folder or ends in
    .sqlite. OptionError for a name with other characters than letters, digits, `.`, `_`, `-`."""
    if name.endswith(SUFFIX) or "/" in name or os.sep in name:
        return Path(name).expanduser()
    if not _NAME.match(name):
        raise OptionError(
            f"an index cannot be called {name!r}; use letters, digits, `.`, `_` and `-`, "
            "or give the path of a .sqlite file"
        )
    return index_folder() / (name + SUFFIX)
