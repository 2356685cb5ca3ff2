"""Fetches one file in parallel segments, resumable at any byte, and checked by its hash.

What has been fetched lies in `<name>.part`, what of it is safe on the disk in `<name>.part.json`;
a process killed at any moment continues from there. The file gets its name only after its hash
is the one that the hub states.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from homezoo.errors import HubError
from homezoo.zoo.connection import Connection, shown_url
from homezoo.zoo.digest import Digest
from homezoo.zoo.segments import Ranges, State, load_state, save_state
from homezoo.zoo.streams import Course, Plan, SingleStream, fetch_segments, fetch_whole

HASH_CHUNK = 4 << 20  # bytes: large enough that Python's overhead vanishes, small beside memory
POLL_SECONDS = 0.1  # how often progress is shown while nothing can be hashed

Progress = Callable[[int, int], None]  # bytes there, bytes in all


@dataclass(frozen=True)
class Settings:
    """How a file is fetched."""

    segment: int = 64 << 20  # bytes: a minute of a slow line, a second of a fast one
    parallel: int = 4  # segments at once; more are refused by many storages
    checkpoint: float = 1.0  # seconds between two states on disk, so what a kill can cost

    def plan(self) -> Plan:
        """The part of the settings that the streams need."""
        return Plan(self.segment, self.parallel)


@dataclass(frozen=True)
class Source:
    """A file on a hub."""

    url: str
    size: int  # bytes
    digest: Digest


def fetch(
    source: Source,
    target: Path,
    connection: Connection,
    settings: Settings,
    progress: Progress = lambda done, size: None,
) -> None:
    """Bring a file to `target`, continuing what an earlier call left.

    Raises HubError when it cannot be had or is not what the hub states, OSError of the disk; what
    has come stays for the next call, unless it proved wrong.
    """
    part = target.with_name(target.name + ".part")
    state = target.with_name(target.name + ".part.json")
    _Fetch(source, part, state, connection, settings, progress).run()
    os.replace(part, target)
    state.unlink(missing_ok=True)


def fetched_bytes(source: Source, target: Path) -> int:
    """How many bytes of a file an earlier call has left on the disk."""
    part = target.with_name(target.name + ".part")
    if not part.exists():
        return 0
    state = load_state(part.with_name(part.name + ".json"), source.digest.hex, source.size)
    return state.done.total


class _Fetch:
    """One call of `fetch`: the main thread hashes what the streams bring."""

    def __init__(
        self,
        source: Source,
        part: Path,
        state: Path,
        connection: Connection,
        settings: Settings,
        progress: Progress,
    ) -> None:
        self.source, self.part, self.state_path = source, part, state
        self.connection, self.settings, self.progress = connection, settings, progress
        self._saving = threading.Lock()
        self._saved_at = time.monotonic()

    def run(self) -> None:
        """Leaves the whole, checked file in `part`; raises as `fetch` does."""
        self._open_part()
        course = self._resumed()
        try:
            found = self._stream(course, fetch_segments)
        except SingleStream:  # the server sends no ranges: from the beginning, in one go
            course = self._course(State(self.source.digest.hex, self.source.size, None, Ranges()))
            self.state_path.unlink(missing_ok=True)
            found = self._stream(course, fetch_whole)
        self._check(found)

    def _resumed(self) -> Course:
        return self._course(load_state(self.state_path, self.source.digest.hex, self.source.size))

    def _course(self, state: State) -> Course:
        return Course(
            self.source.url,
            self.source.size,
            self.source.digest,
            self.part,
            state.done,
            state.validator,
            self._record,
        )

    def _open_part(self) -> None:
        """Make the part file, of the file's size and without content, unless it is there."""
        if self.part.exists() and self.part.stat().st_size == self.source.size:
            return
        self.state_path.unlink(missing_ok=True)  # whatever it says is not about this part
        with self.part.open("wb") as file:
            file.truncate(self.source.size)

    def _stream(self, course: Course, work: Callable[[Course, Connection, Plan], None]) -> str:
        """Run the streams beside the hashing of what they bring; the hash of the whole file."""
        failures: list[BaseException] = []

        def bring() -> None:
            try:
                work(course, self.connection, self.settings.plan())
            except BaseException as error:  # handed to the thread that asked
                failures.append(error)
            finally:
                course.ended.set()

        streams = threading.Thread(target=bring, name="homezoo-fetch")
        streams.start()
        try:
            found = self._hash(course)
        finally:
            course.stop.set()
            streams.join()
            self._save(course)
        if failures:
            raise failures[0]
        return found

    def _hash(self, course: Course) -> str:
        """Hash the file from its beginning as far as it is there, until all is or none comes."""
        hasher = self.source.digest.hasher(self.source.size)
        position, buffer = 0, memoryview(bytearray(HASH_CHUNK))
        with self.part.open("rb", buffering=0) as file:
            while position < self.source.size:
                prefix, total = course.reached()
                self.progress(total, self.source.size)
                if position < prefix:
                    count = file.readinto(buffer[: min(HASH_CHUNK, prefix - position)])
                    if not count:
                        raise HubError(f"{self.part} was shortened by another program; pull again")
                    hasher.update(buffer[:count])
                    position += count
                elif course.ended.is_set() and prefix == course.reached()[0]:
                    return ""
                else:
                    course.ended.wait(POLL_SECONDS)
        self.progress(self.source.size, self.source.size)
        return hasher.hexdigest()

    def _record(self, course: Course) -> None:
        """Called by the streams after each piece: saves the state from time to time."""
        due = time.monotonic() - self._saved_at >= self.settings.checkpoint
        if due and self._saving.acquire(blocking=False):
            try:
                self._save(course)
            finally:
                self._saved_at = time.monotonic()
                self._saving.release()

    def _save(self, course: Course) -> None:
        """Sync the data, then write which of it there is; in this order."""
        state = State(self.source.digest.hex, self.source.size, *course.state())
        if not state.done.spans:
            return
        with self.part.open("rb+") as file:
            os.fsync(file.fileno())
        # on a full disk the older state stays: less is known to be there, nothing wrong
        with contextlib.suppress(OSError):
            save_state(self.state_path, state)

    def _check(self, found: str) -> None:
        """HubError, and nothing left on disk, unless the hash is the one that the hub states."""
        if found == self.source.digest.hex:
            return
        self.state_path.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)
        raise HubError(
            f"{shown_url(self.source.url)} came damaged: its {self.source.digest.name} is {found}, "
            f"the hub states {self.source.digest.hex}; nothing was kept, pull again"
        )
