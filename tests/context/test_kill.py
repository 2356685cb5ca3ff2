"""kill -9 while documents are read: the file stays sound, and nothing acknowledged is lost."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from homezoo.context.index import Index
from homezoo.context.ingest import Ingest
from homezoo.context.passages import estimate_tokens

FILES = 300
WRITER = """
import sys
from pathlib import Path
from homezoo.context import ingest
from homezoo.context.index import Index
from homezoo.context.passages import estimate_tokens
ingest.BATCH = 20
path, folder = Path(sys.argv[1]), sys.argv[2]
index = Index.open(path) if path.exists() else Index.create(path)
print("started", flush=True)
def told(report):
    print(index.counts()["passages"], flush=True)
with index:
    ingest.Ingest(index, estimate_tokens, 60, progress=told).run([folder])
"""


def write_documents(folder: Path) -> None:
    folder.mkdir()
    for n in range(FILES):
        lines = [f"Animal {n} of row {k} eats food number {n * k}." for k in range(30)]
        (folder / f"{n:03}.txt").write_text("\n\n".join(lines))


def acknowledged(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    lines = [line for line in process.stdout.read().splitlines() if line.isdigit()]
    return int(lines[-1]) if lines else 0


def check_kills(tmp_path: Path, kills: int, seconds: float) -> None:
    folder, path = tmp_path / "docs", tmp_path / "index.sqlite"
    write_documents(folder)
    moments, progress, hits = random.Random(7), [], 0
    for _ in range(10 * kills):
        if hits == kills:
            break
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(folder)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(moments.uniform(0, seconds))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            hits += 1
        else:
            seconds *= 0.8  # this machine is done sooner
        safe = acknowledged(process)
        process.wait()
        with Index.open(path) as index:
            assert index.problems() == []
            assert index.counts()["passages"] >= safe
            progress.append(index.counts()["documents"])
        if progress[-1] == FILES:  # done already: begin anew, so that each kill interrupts work
            for ending in ("", "-wal", "-shm"):
                Path(str(path) + ending).unlink(missing_ok=True)
    assert hits == kills
    index = Index.open(path) if path.exists() else Index.create(path)
    with index:
        Ingest(index, estimate_tokens, 60).run([str(folder)])
        assert index.counts()["documents"] == FILES
        assert index.problems() == []
        whole = index.counts()["passages"]
    with Index.create(tmp_path / "fresh.sqlite") as fresh:
        Ingest(fresh, estimate_tokens, 60).run([str(folder)])
        assert fresh.counts()["passages"] == whole


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_three_kills(tmp_path: Path) -> None:
    check_kills(tmp_path, 3, 0.4)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    check_kills(tmp_path, 20, 0.8)
