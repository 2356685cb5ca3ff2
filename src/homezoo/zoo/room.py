"""The memory and disk of this machine, and whether a model of some size has room in them."""

import contextlib
import os
import shutil
from pathlib import Path

RUN_SHARE = 0.85  # of the memory that a model may take: the system and a context need the rest
DISK_RESERVE = 256 << 20  # bytes left free on the disk: a full one stops other programs


def memory_bytes() -> int | None:
    """Memory that this process may have: the machine's, or the container's if less; None if
    unknown."""
    found = []
    try:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        found += _windows_memory()
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text("utf-8")))
    return min(found, default=None)


def _windows_memory() -> list[int]:
    import ctypes

    library = getattr(ctypes, "windll", None)
    if library is None:
        return []
    kilobytes = ctypes.c_ulonglong(0)
    known = library.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
    return [kilobytes.value * 1024] if known else []


def fits_memory(size: int) -> bool | None:
    """Whether weights of `size` bytes leave room for the rest; None when the memory is unknown."""
    memory = memory_bytes()
    return None if memory is None else size <= memory * RUN_SHARE


def free_disk(folder: Path) -> int:
    """Free bytes on the disk of a folder that may not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
