"""Writes the type stub of the native module, src/homezoo/_native.pyi, from the built module itself.

python native/make_stub.py            # after a change of native/bindings.cpp
python native/make_stub.py --check    # only says whether the stub is current
"""

import subprocess
import sys
from pathlib import Path

STUB = Path(__file__).resolve().parents[1] / "src" / "homezoo" / "_native.pyi"


def stub() -> str:
    """The stub's text, formatted; needs nanobind and ruff of the `dev` extra."""
    from nanobind.stubgen import StubGen

    from homezoo import _native

    generator = StubGen(_native)
    generator.put(_native)
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", STUB.name, "-"],
        input=generator.get().encode(),
        capture_output=True,
        check=True,
        cwd=STUB.parents[2],  # where ruff's settings are
    )
    return formatted.stdout.decode().replace("\r\n", "\n")


def main() -> int:
    """Writes the stub, or with --check compares; exit status 1 when it is not current."""
    if "--check" not in sys.argv[1:]:
        STUB.write_text(stub(), "utf-8")
        return 0
    if STUB.is_file() and STUB.read_text("utf-8") == stub():
        return 0
    print(f"{STUB.name} is not current; run `python native/make_stub.py`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
