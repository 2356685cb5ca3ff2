"""How many threads pay: the cores that this process may really use."""

import os
import sys
from collections.abc import Iterator
from math import ceil
from pathlib import Path

# With so few cores the second thread of a core still adds some prefill speed; with more of them,
# two threads that share a core's multipliers only wait for each other at every barrier.
FEW_CORES = 2
CGROUP = Path("sys/fs/cgroup")


def available_cores() -> int:
    """Cores for computing, at least 1.

    Linux: the processors of the affinity mask, one per core unless there are few cores, no more
    than the processor time that the control group allows. macOS: the fast cores. Elsewhere: the
    processors that the system counts.
    """
    system: str = sys.platform  # a name, so that type checkers do not follow one branch only
    if system == "linux":
        return linux_cores(Path("/"), set(os.sched_getaffinity(0)))
    if system == "darwin":
        return mac_cores() or os.cpu_count() or 1
    return os.cpu_count() or 1


def linux_cores(root: Path, allowed: set[int]) -> int:
    """Cores for the processors `allowed`, with /sys and /proc of Linux under `root`.

    What cannot be read there limits nothing.
    """
    siblings = {_core_of(root, processor) for processor in allowed}
    count = len(allowed) if len(siblings) <= FEW_CORES else len(siblings)
    limit = processor_limit(root)
    # Part of a processor is worth a thread: the group's threads then sleep and wake together.
    return max(1, count if limit is None else min(count, ceil(limit)))


def _core_of(root: Path, processor: int) -> str:
    """The processors of the same core, or the processor alone where the system does not tell."""
    topology = root / f"sys/devices/system/cpu/cpu{processor}/topology"
    for name in ("core_cpus_list", "thread_siblings_list"):  # its name since Linux 5.3, and before
        if text := _read(topology / name):
            return text
    return str(processor)


def processor_limit(root: Path) -> float | None:
    """Processors' worth of time that the control groups allow; None without a limit.

    Version 2: `cpu.max` holds quota and period in microseconds, or "max". Version 1: the same in
    two files, -1 for none (kernel documentation, cgroup-v2 and sched-bwc). The narrowest counts.
    """
    limits = []
    for folder in control_groups(root, "cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        quota = quota or _read(folder / "cpu.cfs_quota_us")
        period = period or _read(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control groups for cpu or memory, and of all groups around them."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mounts = [CGROUP, CGROUP / "unified"]
        elif controller in controllers.split(","):
            mounts = [CGROUP / controllers, CGROUP / controller]
        else:
            continue
        inner = [part for part in path.split("/") if part not in ("", "..")]
        for mount in mounts:
            # inside a container the path is often that of the host: what is not there is skipped
            for depth in range(len(inner), -1, -1):
                yield (root / mount).joinpath(*inner[:depth])


def mac_cores() -> int | None:
    """Performance cores, or all where there is one kind; None where the system does not tell."""
    import ctypes

    for name in (b"hw.perflevel0.physicalcpu", b"hw.physicalcpu"):
        value = ctypes.c_int(0)
        size = ctypes.c_size_t(ctypes.sizeof(value))
        try:
            library = ctypes.CDLL(None)
            failed = library.sysctlbyname(
                name, ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0)
            )
        except (OSError, AttributeError):
            return None
        if not failed and value.value > 0:
            return value.value
    return None


def _read(path: Path) -> str:
    """A small file's text, stripped; empty when there is none to be read."""
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
