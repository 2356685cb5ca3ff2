"""Small files that are written whole or not at all. GGUFWriter does the same for models."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path, private: bool = False) -> Iterator[BinaryIO]:
    """Writes beside `path`; at the end of the block the file is synced and takes its name.

    An exception in the block leaves nothing, and what was there before as it was. `private` files
    are for their owner's eyes only.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0),
                     0o600 if private else 0o666)  # fmt: skip
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
