"""Every section of kernels against the plain one, bit for bit: NEON emulated, and this CPU's own.

tests/native/check_sections.cpp compares; it needs no Python, so that it runs on any machine that
a compiler can build for. Emulation needs Debian's `qemu-user` and `g++-aarch64-linux-gnu`.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each build takes a minute or two, once

ROOT = Path(__file__).resolve().parent.parent.parent
ARM_COMPILER = "aarch64-linux-gnu-g++"


def need(*programs: str) -> None:
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")


def build(folder: str, *options: str) -> Path:
    """The program that compares sections, built in `build`, where a second run finds it."""
    at = ROOT / "build" / "check_sections" / folder
    configure = ["cmake", "-S", str(ROOT), "-B", str(at), "-DHOMEZOO_CHECK_SECTIONS=ON", *options]
    for command in (configure, ["cmake", "--build", str(at), "--parallel", "2"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return at / "check_sections"


@pytest.fixture(scope="module")
def arm_program() -> Path:
    need("cmake", ARM_COMPILER, "qemu-aarch64")
    return build(
        "aarch64",
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_CXX_COMPILER={ARM_COMPILER}",
        "-DCMAKE_EXE_LINKER_FLAGS=-static",  # runs without that system's libraries
    )


def compared_sections(*command: str | Path) -> list[str]:
    """Sections that the program compared and found equal; none may differ."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^(\w+): (\d+) comparisons, (\d+) differences$", done.stdout, re.M)
    assert all(
        int(comparisons) > 1000 and differences == "0" for _, comparisons, differences in found
    )
    return [name for name, _, _ in found]


@pytest.mark.parametrize(
    ("cpu", "sections"),
    [
        ("cortex-a72", ["neon"]),  # Raspberry Pi 4: an instruction beyond ARMv8.0 would end the run
        ("cortex-a76", ["neon", "neon_dotprod"]),  # Raspberry Pi 5
        ("max", ["neon", "neon_dotprod", "neon_i8mm"]),
    ],
)
def test_neon_computes_the_bits_of_plain(arm_program: Path, cpu: str, sections: list[str]) -> None:
    assert compared_sections("qemu-aarch64", "-cpu", cpu, arm_program, *sections) == sections


def test_the_sections_of_this_cpu_compute_the_bits_of_plain() -> None:
    need("cmake", "c++")
    native = pytest.importorskip("homezoo._native", reason="the native module is not built")
    assert compared_sections(build("here")) == [s for s in native.sections() if s != "plain"]
