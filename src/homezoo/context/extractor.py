"""Runs the parsers of strangers' files in another process, which may hang or die without harm."""

import json
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import IO, Any

from homezoo.context.document import Document, Section
from homezoo.errors import DocumentError

SECONDS = 60.0  # for one file; the 5,000 pages that are read at most take about 20


class Extractor:
    """One helper process, started when first needed and again after it was ended for a file."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[bytes] = queue.Queue()

    def extract(self, kind: str, content: bytes) -> Document:
        """The document that the parser of a kind (html, pdf, docx) makes of a file's content.

        Raises DocumentError for what the parser refuses, for more than 60 seconds, and for a
        parser that dies.
        """
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(f"{kind} {len(content)}\n".encode())
            process.stdin.write(content)
            process.stdin.flush()
            line = self._answers.get(timeout=self._seconds)
        except queue.Empty:
            self.close()
            raise DocumentError(
                f"reading it took more than {self._seconds:g} seconds; it was given up"
            ) from None
        except OSError:
            line = b""
        if not line:
            self.close()
            raise DocumentError("its reader died over it (too much memory, or a fault)")
        return _document(kind, json.loads(line))

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "homezoo.context.extract_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert self._process.stdout is not None
            self._answers = queue.Queue()
            reader = (self._process.stdout, self._answers)
            threading.Thread(target=_pump, args=reader, daemon=True).start()
        return self._process

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what was not yet sent has no reader any more
                        pipe.close()

    def __enter__(self) -> "Extractor":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _pump(source: IO[bytes], answers: "queue.Queue[bytes]") -> None:
    """Passes lines on, and an empty one at the end; a thread, so that waiting can end."""
    try:
        for line in source:
            answers.put(line)
    except (OSError, ValueError):  # closed meanwhile
        pass
    answers.put(b"")


def _document(kind: str, told: dict[str, Any]) -> Document:
    if "error" in told:
        raise DocumentError(told["error"])
    sections = [Section(start, tuple(path)) for start, path in told["sections"]]
    return Document(kind, told["text"], sections, told["pages"], told["notes"])
