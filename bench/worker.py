"""Starts a worker process of either side and asks it; knows a crash from an error."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).resolve().parent
LOG_SHOWN = 400  # characters of a worker's standard error in a message


class WorkerError(Exception):
    """The worker answered with an error."""


class WorkerCrash(WorkerError):
    """The worker process ended: it cannot do this on this machine."""


class Worker:
    """One process, asked one thing at a time; between questions it sleeps."""

    def __init__(self, python: str, script: str) -> None:
        self.name = script.removesuffix("_worker.py")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            [python, str(HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
        )

    @property
    def process_id(self) -> int:
        return self._process.pid

    def ask(self, do: str, **arguments: Any) -> Any:
        """The answer; WorkerError when it fails, WorkerCrash when the process ends over it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerCrash(f"{self.name} ended during {do!r} by {self._end()}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(f"{self.name}, {do!r}: {reply['error']}")
        return reply["answer"]

    def _end(self) -> str:
        status = self._process.wait()
        self._log.seek(0)
        told = self._log.read().decode("utf-8", "replace").strip()[-LOG_SHOWN:]
        reason = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return f"{reason}; it said: {told or 'nothing'}"

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def our_worker() -> Worker:
    return Worker(sys.executable, "homezoo_worker.py")


def seconds_to_first_token(
    python: str, script: str, path: Path, threads: int, prompt: str
) -> float:
    """From starting the process to its first line; WorkerError when there is none."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [python, str(HERE / script), str(path), str(threads), prompt],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    seconds = time.perf_counter() - start
    process.communicate()
    if not line or process.returncode:
        raise WorkerError(f"{script} gives no first token of {path.name}")
    return seconds
