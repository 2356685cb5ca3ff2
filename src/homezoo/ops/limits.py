"""What this machine can do at best: the figures that every measured speed is printed beside."""

from dataclasses import dataclass

from homezoo.ops.cores import available_cores


@dataclass(frozen=True)
class MachineLimits:
    """Best of several short runs, everything but the memory reads inside registers."""

    kernels: str  # the section of kernels in use: avx2, avx512, amx, neon, ...
    threads: int
    read_bytes_per_second: float  # memory, all threads
    read_bytes_per_second_1_thread: float
    int8_per_second: (
        float  # multiply-adds with the instructions of the prefill kernels, all threads
    )
    fp32_per_second: float  # multiply-adds


def measure_limits(threads: int | None = None, seconds: float = 1.0) -> MachineLimits:
    """About 2 · `seconds` of measuring with the threads given, by default one for each core.

    Takes 1 GB of memory meanwhile: servers share last-level caches of hundreds of megabytes.
    """
    from homezoo import _native

    count = threads or available_cores()
    read_alone, _, _ = _native.limits(_native.Threads(1), seconds)
    read, int8, fp32 = _native.limits(_native.Threads(count), seconds)
    return MachineLimits(_native.section(), count, read, read_alone, int8, fp32)
