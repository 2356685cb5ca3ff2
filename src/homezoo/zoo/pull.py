"""Brings an offer of a repository into the hub's cache: room on the disk, lock, fetch, link."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from homezoo.errors import HubError
from homezoo.zoo.connection import Connection, Patience
from homezoo.zoo.fetch import Settings, Source, fetch, fetched_bytes
from homezoo.zoo.hub import Hub, RemoteFile, Repository
from homezoo.zoo.hub_cache import RepositoryFolder
from homezoo.zoo.identity import identify
from homezoo.zoo.offers import CARD_FILES, Offer, missing_parts
from homezoo.zoo.room import DISK_RESERVE, free_disk

MAX_CARD_FILE = 4 << 20  # bytes of a README or licence that is fetched along

Progress = Callable[[str, int, int], None]  # file, bytes there, bytes in all


def pull(
    hub: Hub,
    repository: Repository,
    offer: Offer,
    progress: Progress = lambda name, done, size: None,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    patience: Patience = Patience(),  # noqa: B008 (frozen)
) -> list[Path]:
    """Fetch what is missing of an offer, with the repository's card and licence files.

    Returns the paths of the offer's files under their names. Raises HubError, OSError of the disk.
    """
    if lacking := missing_parts(offer):
        raise HubError(f"{repository.name} lacks {lacking[0]}, so {offer.name} is not whole there")
    folder = RepositoryFolder(repository.name)
    beside = [
        file
        for file in repository.files
        if CARD_FILES.fullmatch(file.name) and file.size <= MAX_CARD_FILE
    ]
    check_room(hub, repository, folder, [*beside, *offer.files])
    connection = Connection(hub.connection.endpoint, hub.connection.token, patience)
    folder.blobs.mkdir(parents=True, exist_ok=True)
    for file in beside:
        _bring(hub, connection, repository, folder, file, settings, lambda done, size: None)
    paths = [
        _bring(hub, connection, repository, folder, file, settings, partial(progress, file.name))
        for file in offer.files
    ]
    folder.set_revision(repository.revision, repository.commit)
    return paths


def check_room(
    hub: Hub, repository: Repository, folder: RepositoryFolder, files: Sequence[RemoteFile]
) -> None:
    """HubError when the disk has not room for what is still to come."""
    needed = 0
    for file in files:
        target = folder.blobs / file.digest.hex
        if not target.exists():
            source = Source(hub.address(repository, file), file.size, file.digest)
            needed += file.size - fetched_bytes(source, target)
    free = free_disk(folder.path)
    if needed and needed + DISK_RESERVE > free:
        raise HubError(
            f"{needed:,} bytes are still to come and {free:,} are free at {folder.cache}, of which "
            f"{DISK_RESERVE:,} stay free; make room, or set HF_HOME to a folder on another disk"
        )


def _bring(
    hub: Hub,
    connection: Connection,
    repository: Repository,
    folder: RepositoryFolder,
    file: RemoteFile,
    settings: Settings,
    progress: Callable[[int, int], None],
) -> Path:
    """One file under its name, fetched unless its blob is there."""
    blob = folder.blobs / file.digest.hex
    if not blob.exists():
        url = hub.address(repository, file)
        found = connection.patiently(lambda: identify(connection, url))
        if (found.digest, found.size) != (file.digest, file.size):
            raise HubError(f"{file.name} changed on the hub meanwhile; pull again")
        with _locked(folder.lock_path(file.digest.hex), file.name):
            if not blob.exists():
                fetch(Source(url, file.size, file.digest), blob, connection, settings, progress)
    progress(file.size, file.size)
    return folder.link(repository.commit, file.name, file.digest.hex)


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    """Hold the lock of a blob; HubError when another process holds it."""
    from filelock import FileLock, Timeout  # comes with huggingface_hub

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise HubError(f"another program is downloading {name}; wait until it is done") from None
    try:
        yield
    finally:
        lock.release()
