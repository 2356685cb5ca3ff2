"""The streams that bring a file's bytes: several segments at once, or the whole file in one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from homezoo.errors import HubError
from homezoo.zoo.connection import Connection, Trouble, Waits, shown_url
from homezoo.zoo.digest import Digest
from homezoo.zoo.identity import identify
from homezoo.zoo.segments import Ranges

PARTIAL = 206
CHUNK = 256 << 10  # bytes read at once: a stop or a cut costs no more


class SingleStream(Exception):
    """The server answers a request for a range with the whole file."""


@dataclass(frozen=True)
class Plan:
    """How a file is divided."""

    segment: int  # bytes
    parallel: int  # segments at once


@dataclass
class Course:
    """A file on its way: what is there of it, shared by the streams and who waits for them."""

    url: str
    size: int  # bytes
    digest: Digest
    part: Path
    done: Ranges
    validator: str | None  # entity tag of the storage; a range of another file is not taken
    record: Callable[["Course"], None]
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, start: int, end: int) -> None:
        """Bytes that have been written."""
        with self.lock:
            self.done.add(start, end)
        self.record(self)

    def reached(self) -> tuple[int, int]:
        """Bytes there from the beginning without a gap, and bytes there in all."""
        with self.lock:
            return self.done.prefix, self.done.total

    def state(self) -> tuple[str | None, Ranges]:
        """The validator and a copy of what is there."""
        with self.lock:
            return self.validator, self.done.copy()


def fetch_segments(course: Course, connection: Connection, plan: Plan) -> None:
    """Bring all that is missing, `plan.parallel` segments at once.

    Raises SingleStream when the server knows no ranges, HubError, or OSError of the disk.
    """
    missing = course.done.missing(course.size, plan.segment)
    if not missing:
        return
    waiting = iter(missing)
    taking = threading.Lock()

    def work() -> None:
        while not course.stop.is_set():
            with taking:
                piece = next(waiting, None)
            if piece is None:
                return
            try:
                _fetch_segment(course, connection, *piece)
            except BaseException:
                course.stop.set()  # the others end, what they have is kept
                raise

    workers = min(plan.parallel, len(missing))
    with ThreadPoolExecutor(workers, thread_name_prefix="homezoo-segment") as pool:
        for future in [pool.submit(work) for _ in range(workers)]:
            future.result()


def _fetch_segment(course: Course, connection: Connection, start: int, end: int) -> None:
    """Bring bytes `start` to `end`, in as many requests as it takes."""
    waits = Waits(connection.patience, course.stop)
    while start < end and not course.stop.is_set():
        try:
            for reached in _pieces(course, connection, start, end):
                waits.progressed()
                start = reached
        except Trouble as trouble:
            waits.wait_after(trouble)


def _pieces(course: Course, connection: Connection, start: int, end: int) -> Iterator[int]:
    """One request for bytes `start` to `end`; yields how far they have been written."""
    validator = course.state()[0]
    headers = {"Range": f"bytes={start}-{end - 1}"}
    if validator:
        headers["If-Range"] = validator
    with connection.open(course.url, headers) as response:
        tag = response.headers.get("ETag")
        strong = tag if tag and not tag.startswith("W/") else None  # RFC 9110, 13.1.5
        if validator and strong and strong != validator:
            _confirm(course, connection)
            raise Trouble(f"{shown_url(course.url)}: the storage changed its entity tag")
        if response.status != PARTIAL:
            raise SingleStream
        _check_range(course, response, start)
        with course.lock:
            course.validator = course.validator or strong
        yield from _write(course, response, start, end)


def _confirm(course: Course, connection: Connection) -> None:
    """HubError if the hub now states another hash; else forget the storage's entity tag."""
    if identify(connection, course.url).digest != course.digest:
        raise HubError(f"{shown_url(course.url)} changed meanwhile; pull again to get the new file")
    with course.lock:
        course.validator = None


def _check_range(course: Course, response: HTTPResponse, start: int) -> None:
    """HubError unless the response brings bytes from `start` of a file of the right size."""
    given = response.headers.get("Content-Range", "")
    if not given.startswith(f"bytes {start}-") or given.rpartition("/")[2] != str(course.size):
        raise HubError(
            f"{shown_url(course.url)}: asked for bytes from {start} of {course.size}, "
            f"the server sends {given!r}; it changed: pull again"
        )


def fetch_whole(course: Course, connection: Connection, plan: Plan) -> None:
    """Bring the whole file in one stream, from the beginning again after each cut.

    What was there before is written again; the hash tells if it is not the same.
    """
    waits = Waits(connection.patience, course.stop)
    while course.reached()[0] < course.size and not course.stop.is_set():
        try:
            with connection.open(course.url) as response:
                length = response.headers.get("Content-Length", str(course.size))
                if length != str(course.size):
                    raise HubError(
                        f"{shown_url(course.url)} has {length} bytes, the hub states {course.size}"
                    )
                for _ in _write(course, response, 0, course.size):
                    pass
        except Trouble as trouble:
            waits.wait_after(trouble)


def _write(course: Course, response: HTTPResponse, start: int, end: int) -> Iterator[int]:
    """Write the body at `start` of the part file up to `end`; yields how far, Trouble on a cut."""
    buffer = memoryview(bytearray(CHUNK))
    with course.part.open("rb+", buffering=0) as file:
        file.seek(start)
        while start < end and not course.stop.is_set():
            try:
                count = response.readinto(buffer[: min(CHUNK, end - start)])
            except (OSError, HTTPException) as error:
                raise Trouble(f"{shown_url(course.url)}: the connection broke: {error}") from None
            if not count:
                raise Trouble(f"{shown_url(course.url)}: the connection was cut at byte {start}")
            written = 0
            while written < count:
                written += file.write(buffer[written:count]) or 0
            course.add(start, start + count)
            start += count
            yield start
