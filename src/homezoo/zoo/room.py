"""Whether a model of some size has room in the memory and on the disk of this machine."""

import shutil
from pathlib import Path

from homezoo.models.footprint import PROGRAM_BYTES
from homezoo.ops.memory import usable_memory

DISK_RESERVE = 256 << 20  # bytes left free on the disk: a full one stops other programs
# Of the weights, for buffers and a cache of a few thousand tokens, while only their size is known;
# `homezoo fit` reads the header and knows better.
REST_SHARE = 0.1


def fits_memory(size: int) -> bool | None:
    """Whether weights of `size` bytes leave room for the rest; None when the memory is unknown."""
    usable = usable_memory()
    return None if usable is None else size * (1 + REST_SHARE) + PROGRAM_BYTES <= usable


def free_disk(folder: Path) -> int:
    """Free bytes on the disk of a folder that may not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
