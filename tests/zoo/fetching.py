"""How the tests of the fetcher call it: one file, little patience, small segments."""

from pathlib import Path

from zoo.local_hub import COMMIT, Hub

from homezoo.zoo.connection import Connection, Patience
from homezoo.zoo.fetch import Settings, Source, fetch
from homezoo.zoo.identity import identify

FILE = "tiny-Q4_K_M.gguf"
MEGABYTE = 1 << 20
QUICK = Patience(tries=4, first_wait=0.01, longest_wait=1, timeout=5)
SMALL = Settings(segment=MEGABYTE, parallel=3, checkpoint=0.0)


def address(hub: Hub, name: str = FILE) -> str:
    return f"{hub.endpoint}/zoo/tiny/resolve/{COMMIT}/{name}"


def connect(hub: Hub, token: str | None = None) -> Connection:
    return Connection(hub.endpoint, token, QUICK)


def source_of(hub: Hub) -> Source:
    found = identify(connect(hub), address(hub))
    return Source(address(hub), found.size, found.digest)


def bring(hub: Hub, target: Path, settings: Settings = SMALL, token: str | None = None) -> None:
    fetch(source_of(hub), target, connect(hub, token), settings)
