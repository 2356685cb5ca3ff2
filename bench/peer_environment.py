"""An environment of its own with llama-cpp-python, built for this CPU, and proof that it runs."""

import os
import platform
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from worker import Worker, WorkerCrash

DEFAULT_ENVIRONMENT = Path.home() / ".cache" / "homezoo" / "bench"
VERSION = "0.3.36"  # of llama-cpp-python on PyPI; one version, so that figures can be compared

# llama.cpp's build options and the flags of /proc/cpuinfo that each needs.
CPU_OPTIONS = {
    "AVX": ("avx",),
    "AVX2": ("avx2",),
    "FMA": ("fma",),
    "F16C": ("f16c",),
    "BMI2": ("bmi2",),
    "AVX512": ("avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"),
    "AVX512_VBMI": ("avx512vbmi",),
    "AVX512_VNNI": ("avx512_vnni",),
    "AVX512_BF16": ("avx512_bf16",),
    "AVX_VNNI": ("avx_vnni",),
}
NATIVE = "-DGGML_NATIVE=ON"
AVX2 = {"avx", "avx2", "fma", "f16c", "bmi2"}  # most home machines up to now
AMX = {"amx_tile", "amx_int8", "amx_bf16"}
WITHOUT_AMX = (
    "llama.cpp is built without AMX, which this CPU has: built with it by GCC 12, it crashes on "
    "quantised weights (the compiler's intrinsic for tile settings loads 8 of their 64 bytes)"
)


@dataclass(frozen=True)
class Peer:
    """A llama-cpp-python that runs."""

    python: str
    version: str
    system: str  # the CPU features that it was built with, in its own words
    note: str  # what is special about the build, or empty

    def worker(self) -> Worker:
        return Worker(self.python, "llama_worker.py")


def find_peer(environment: Path, quantised: Path, options: str = NATIVE) -> Peer:
    """The peer of an environment, installed first with these CMake options where there is none.

    It must compute with the quantised model; when it crashes over it on a CPU with AMX, it is built
    again without. Raises WorkerError when it still does not run, CalledProcessError when it cannot
    be installed.
    """
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        print(f"making {environment} with llama-cpp-python {VERSION}; this takes minutes ...")
        venv.create(environment, with_pip=True)
    if not _has_peer(python):
        _install(python, options)
    told = _try(python, quantised)
    if isinstance(told, WorkerCrash):
        if not _cpu_flags() & AMX or "AMX" not in _version(python)["system"]:
            raise told
        print(f"{told}\nbuilding it again without AMX; this takes minutes ...")
        _install(python, options_for(_cpu_flags()))
        told = _try(python, quantised)
        if isinstance(told, WorkerCrash):
            raise told
    without_amx = bool(_cpu_flags() & AMX) and "AMX" not in told["system"]
    note = WITHOUT_AMX if without_amx else ""
    return Peer(str(python), told["llama-cpp-python"], told["system"], note)


def options_for(flags: set[str]) -> str:
    """CMake options that turn on what -march=native would on a CPU with these flags, but AMX."""
    chosen = {
        name: "ON" if flags.issuperset(needed) else "OFF" for name, needed in CPU_OPTIONS.items()
    }
    chosen |= {"NATIVE": "OFF"} | {flag.upper(): "OFF" for flag in sorted(AMX)}
    return " ".join(f"-DGGML_{name}={value}" for name, value in chosen.items())


def _has_peer(python: Path) -> bool:
    found = subprocess.run([python, "-c", "import llama_cpp"], capture_output=True, check=False)
    return found.returncode == 0


def _install(python: Path, options: str) -> None:
    """From source; pip's cache is left alone, as it does not know the options of a build."""
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-cache-dir",
         "--force-reinstall", "--no-binary", "llama-cpp-python", f"llama-cpp-python=={VERSION}"],
        env=os.environ | {"CMAKE_ARGS": options},
        check=True,
    )  # fmt: skip


def _try(python: Path, model: Path) -> dict[str, str] | WorkerCrash:
    """A prompt and a step, over which a wrongly built one crashes; else what it is."""
    try:
        with Worker(str(python), "llama_worker.py") as worker:
            worker.ask("open", path=str(model), threads=2, context=64)
            worker.ask("prefill", tokens=list(range(3, 35)))
            worker.ask("decode", steps=[[3]])
    except WorkerCrash as crash:
        return crash
    return _version(python)


def _version(python: Path) -> dict[str, str]:
    with Worker(str(python), "llama_worker.py") as worker:
        told: dict[str, str] = worker.ask("version")
    return told


def _cpu_flags() -> set[str]:
    """Flags of /proc/cpuinfo; empty where there is none."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("flags"):
                return set(line.split(":")[1].split())
    except OSError:
        pass
    return set()


def describe_machine() -> dict[str, str | int | float]:
    """CPU, cores of this process, memory, load and system: what a figure depends on."""
    name, memory = platform.processor() or platform.machine(), 0
    if sys.platform.startswith("linux"):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                name = line.split(":")[1].strip()
                break
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": name,
        "cores": len(affinity(0)) if affinity else os.cpu_count() or 1,
        "memory_gb": round(memory / 1e9, 1),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else -1.0,
        "system": platform.platform(),
        "python": platform.python_version(),
    }
