"""The fetcher against kill -9 at random moments: what was verified is never asked for again."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from zoo.fetching import FILE, MEGABYTE, source_of
from zoo.local_hub import Hub, serving

from homezoo.zoo.segments import load_state

START_SECONDS = 20  # for a process to import and ask, on a busy machine
LOST_BYTES = 2 << 20  # per kill: sent, but in the buffers of three sockets and not written yet


def overlapping(spans: list[tuple[int, int]], ranges: list[tuple[int, int]]) -> int:
    """Bytes of `spans` that lie in `ranges` too."""
    return sum(max(0, min(b, d) - max(a, c)) for a, b in spans for c, d in ranges)


KILLED = """
import sys
from pathlib import Path
from homezoo.zoo.connection import Connection, Patience
from homezoo.zoo.digest import Digest
from homezoo.zoo.fetch import Settings, Source, fetch
endpoint, url, size, digest, target, segment = sys.argv[1:]
connection = Connection(endpoint, None, Patience())
settings = Settings(segment=int(segment), parallel=3, checkpoint=0.02)
fetch(Source(url, int(size), Digest(digest)), Path(target), connection, settings)
"""


def start(hub: Hub, target: Path, segment: int) -> subprocess.Popen[bytes]:
    source = source_of(hub)
    arguments = [hub.endpoint, source.url, source.size, source.digest.hex, target, segment]
    return subprocess.Popen([sys.executable, "-c", KILLED, *map(str, arguments)])


def check_kills(
    hub: Hub, data: bytes, folder: Path, kills: int, segment: int, seconds: float
) -> None:
    """Kill a fetch `kills` times, each up to `seconds` after it began to be sent bytes; what the
    state holds is never asked for again."""
    target, state = folder / "f", folder / "f.part.json"
    digest = hashlib.sha256(data).hexdigest()
    moments, sent = random.Random(kills), 0
    for kill in range(kills + 1):
        held = load_state(state, digest, len(data)).done.spans
        hub.requests.clear()
        process = start(hub, target, segment)
        if kill < kills:
            until = time.monotonic() + START_SECONDS
            while not hub.downloads() and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(moments.uniform(0, seconds))
            os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == (-signal.SIGKILL if kill < kills else 0)
        asked = [span for r in hub.requests if (span := r.span)]
        assert asked and overlapping(asked, held) == 0
        sent += sum(r.sent for r in hub.requests)
    assert target.read_bytes() == data
    assert [path.name for path in folder.iterdir()] == ["f"]
    assert sent < len(data) + kills * LOST_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "blobs"
    path.mkdir()
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_kill_at_any_moment_loses_nothing_verified(hub: Hub, weights: bytes, folder: Path) -> None:
    hub.faults.speed = 500_000.0  # of each of three streams: two seconds in all
    check_kills(hub, weights, folder, kills=4, segment=MEGABYTE // 2, seconds=0.4)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_twenty_kills_of_200_megabytes(folder: Path) -> None:
    data = random.Random(20).randbytes(200_000_000)
    with serving(Hub({"zoo/tiny": {FILE: data}})) as hub:
        hub.faults.speed = 4_000_000.0
        check_kills(hub, data, folder, kills=20, segment=16 * MEGABYTE, seconds=0.7)
