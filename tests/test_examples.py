"""Every example runs on the bundled model, by itself and as it stands, and is short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))
# Words that an example must print, so that one that quietly does nothing fails.
EXPECTED = {
    "chat": "messages are left",
    "edit": "boat",
    "embed": "One, two, three.",
    "generate": "tokens per second",
    "json_schema": "'likes'",
    "logits": "' time' 100%",
    "open_model": "architecture llama",
    "stream": "stopped by",
    "tokens": "Lily",
}


def test_there_is_an_example_for_each_job() -> None:
    assert [path.stem for path in EXAMPLES] == sorted(EXPECTED)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(path: Path, tmp_path: Path) -> None:
    if path.stem == "edit":
        pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")
    done = subprocess.run(
        [sys.executable, "-W", "error", path],
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    assert EXPECTED[path.stem] in done.stdout.decode()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_fits_a_screen(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 30
