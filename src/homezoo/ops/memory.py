"""How much memory a model may take here: the machine's, or the control group's if that is less.

And what becomes of memory that was freed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homezoo import _native
from homezoo.ops.cores import control_groups

# Of the memory, for the system and other programs: a machine without any to spare stands still.
RESERVED_SHARE = 0.06


def memory_limit() -> int | None:
    """Bytes that this process may have: the machine's, or its control groups'; None if unknown."""
    found = [_machine_memory(), group_limit(Path("/"))]
    return min((size for size in found if size), default=None)


def usable_memory() -> int | None:
    """`memory_limit` less what is left to the system: what a run keeps within."""
    limit = memory_limit()
    return None if limit is None else int(limit * (1 - RESERVED_SHARE))


def group_limit(root: Path) -> int | None:
    """The narrowest memory limit of this process's control groups, with /proc and /sys of Linux
    under `root`; None without any.

    Version 2: `memory.max`, bytes or "max"; version 1: `memory.limit_in_bytes`, a number near 2^63
    for none (kernel documentation, cgroup-v2 and cgroup-v1/memory).
    """
    limits = []
    for folder in control_groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                text = (folder / name).read_text("ascii", "replace").strip()
            except OSError:
                continue
            if text.isdecimal() and 0 < int(text) < 1 << 60:
                limits.append(int(text))
    return min(limits, default=None)


def available_memory() -> int | None:
    """Bytes that are free now or can be freed at once; None where the system does not tell.

    Linux: MemAvailable of /proc/meminfo (proc_meminfo(5)).
    """
    return _kilobytes(Path("/proc/meminfo"), "MemAvailable:")


def peak_memory() -> int | None:
    """The most memory that this process has had at once, mapped files included, in bytes.

    Linux: VmHWM of /proc/self/status (proc_pid_status(5)); macOS: getrusage(2).
    """
    system: str = sys.platform
    if system == "darwin":
        import resource

        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes there
    return _kilobytes(Path("/proc/self/status"), "VmHWM:")


def private_memory() -> int | None:
    """Memory of this process that no file backs, in bytes; None where the system does not tell.

    Linux: RssAnon of /proc/self/status (proc_pid_status(5)).
    """
    return _kilobytes(Path("/proc/self/status"), "RssAnon:")


def _kilobytes(path: Path, key: str) -> int | None:
    """The value of a line `key 123 kB`, in bytes."""
    try:
        for line in path.read_text("ascii", "replace").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _machine_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _windows_memory()


def _windows_memory() -> int | None:
    import ctypes

    library = getattr(ctypes, "windll", None)
    if library is None:
        return None
    kilobytes = ctypes.c_ulonglong(0)
    known = library.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
    return kilobytes.value * 1024 if known else None


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Meanwhile memory that is freed stays with this process; afterwards it goes back.

    For work that takes and frees the same gigabytes again and again: pages that went back to the
    system are cleared and mapped anew each time. Where the C library is not glibc nothing changes.
    """
    _native.keep_freed_memory(True)
    try:
        yield
    finally:
        _native.keep_freed_memory(False)
