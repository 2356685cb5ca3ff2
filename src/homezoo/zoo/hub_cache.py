"""The cache that all programs of the hub share: where it is, and its layout on disk.

`models--owner--repo/` holds `blobs/<hash>`, `snapshots/<commit>/<file>` (links to blobs) and
`refs/<revision>` (a commit). Source: huggingface.co/docs/huggingface_hub, guides/manage-cache.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from homezoo.errors import HubError
from homezoo.formats.user_cache import user_cache

_TRUE = {"1", "ON", "YES", "TRUE"}


def hub_home() -> Path:
    """The folder of the hub's token and cache: HF_HOME, or in the user's cache folder."""
    if given := os.environ.get("HF_HOME"):
        return Path(given).expanduser()
    return user_cache() / "huggingface"


def cache_folder() -> Path:
    """The cache: HF_HUB_CACHE, or `hub` in `hub_home()`."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(given).expanduser() if given else hub_home() / "hub"


def is_offline() -> bool:
    """Whether the user has switched the network off."""
    return any(
        os.environ.get(name, "").upper() in _TRUE
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def read_token() -> str | None:
    """The user's token: HF_TOKEN, or the file that `hf auth login` writes; None without."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return token
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in _TRUE:
        return None
    path = Path(os.environ.get("HF_TOKEN_PATH") or hub_home() / "token").expanduser()
    try:
        return path.read_text("utf-8").strip() or None
    except (OSError, ValueError):
        return None


class RepositoryFolder:
    """The folder of one repository in the cache."""

    def __init__(self, repository: str, cache: Path | None = None) -> None:
        self.repository = repository
        self.cache = cache or cache_folder()
        self.path = self.cache / ("models--" + repository.replace("/", "--"))
        self.blobs = self.path / "blobs"

    def lock_path(self, digest: str) -> Path:
        """The lock that the hub's own client takes too while it fetches a blob."""
        return self.cache / ".locks" / self.path.name / f"{digest}.lock"

    def snapshot(self, commit: str) -> Path:
        """The folder with the files of a commit under their names."""
        return self.path / "snapshots" / commit

    def snapshots(self) -> Iterator[tuple[str, Path]]:
        """Commits on disk and their folders, that of `main` first, then the newest."""
        try:
            found = [path for path in (self.path / "snapshots").iterdir() if path.is_dir()]
        except OSError:
            return
        main = self._commit_of("main")
        found.sort(key=lambda path: (path.name != main, -path.stat().st_mtime))
        yield from ((path.name, path) for path in found)

    def _commit_of(self, revision: str) -> str | None:
        try:
            return (self.path / "refs" / revision).read_text("utf-8").strip()
        except (OSError, ValueError):
            return None

    def set_revision(self, revision: str, commit: str) -> None:
        """Remember which commit a revision was."""
        if revision == commit:
            return
        path = self.path / "refs" / check_relative(revision)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".new")
        temporary.write_text(commit, "utf-8")
        os.replace(temporary, path)

    def link(self, commit: str, name: str, digest: str) -> Path:
        """Give a blob its file name in a snapshot, by a link; the path of that name."""
        path = self.snapshot(commit) / name
        blob = self.blobs / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.samefile(blob):
            return path
        path.unlink(missing_ok=True)
        try:
            path.symlink_to(os.path.relpath(blob, path.parent))
        except OSError:  # Windows without the right to make links
            os.link(blob, path)
        return path


def repository_folders(cache: Path) -> Iterator[RepositoryFolder]:
    """Every model repository in a cache."""
    try:
        names = sorted(path.name for path in cache.iterdir() if path.is_dir())
    except OSError:
        return
    for name in names:
        kind, _, repository = name.partition("--")
        if kind == "models" and repository:
            yield RepositoryFolder(repository.replace("--", "/", 1), cache)


def check_relative(name: str) -> str:
    """A file's name in a repository; HubError for one that would lead out of its folder."""
    parts = name.split("/")
    if (
        not name
        or any(part in ("", ".", "..") for part in parts)
        or any(mark in name for mark in '\\:*?"<>|')
        or not name.isprintable()
    ):
        raise HubError(f"the hub lists a file named {name[:80]!r}, which is not safe to write")
    return name
