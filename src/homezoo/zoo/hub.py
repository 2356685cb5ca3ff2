"""Asks a hub what a repository holds: its commit, its files with sizes and hashes, its card."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import quote

from homezoo.errors import HubError, OptionError
from homezoo.zoo.connection import Connection, Patience, Trouble, shown_url
from homezoo.zoo.digest import Digest
from homezoo.zoo.hub_cache import check_relative, is_offline, read_token

ENDPOINT = "https://huggingface.co"
MAX_ANSWER = 64 << 20  # bytes of JSON: ten thousands of files
MAX_PAGES = 100  # of a list of files, a thousand on each
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_ASKING = Patience(tries=3)  # of questions: somebody waits at the terminal


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository."""

    name: str  # relative, with forward slashes
    size: int  # bytes
    digest: Digest


@dataclass(frozen=True)
class Repository:
    """One commit of a repository."""

    name: str  # owner/repo
    revision: str  # as asked for
    commit: str
    card: dict[str, Any]
    gated: bool
    files: list[RemoteFile]


def is_repository(name: str) -> bool:
    """Whether a name has the form owner/repo."""
    return bool(_REPOSITORY.fullmatch(name)) and ".." not in name and "--" not in name


class Hub:
    """A hub, by default the one that HF_ENDPOINT names, with the user's own token."""

    def __init__(self, patience: Patience = _ASKING) -> None:
        """HubError when the user has switched the network off."""
        if is_offline():
            raise HubError("HF_HUB_OFFLINE is set, so nothing can be fetched; unset it first")
        endpoint = os.environ.get("HF_ENDPOINT") or ENDPOINT
        self.connection = Connection(endpoint.rstrip("/"), read_token(), patience)

    def repository(self, name: str, revision: str = "main") -> Repository:
        """What a repository holds; OptionError for a name of another form, HubError as told."""
        if not is_repository(name):
            raise OptionError(f"{name!r} is no repository; expected owner/repo")
        base = f"{self.connection.endpoint}/api/models/{name}"
        about, _ = self._ask(f"{base}/revision/{quote(revision, safe='')}")
        commit = about.get("sha") if isinstance(about, dict) else None
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise HubError(f"{shown_url(base)}: the hub names no commit (found {commit!r})")
        card = about.get("cardData")
        return Repository(
            name,
            revision,
            commit,
            card if isinstance(card, dict) else {},
            bool(about.get("gated")),
            list(self._files(f"{base}/tree/{commit}?recursive=true")),
        )

    def address(self, repository: Repository, file: RemoteFile) -> str:
        """Where a file of a commit is."""
        path = f"{repository.name}/resolve/{repository.commit}/{quote(file.name)}"
        return f"{self.connection.endpoint}/{path}"

    def _files(self, url: str | None) -> Iterator[RemoteFile]:
        for _ in range(MAX_PAGES):
            if url is None:
                return
            page, following = self._ask(url)
            if not isinstance(page, list):
                raise HubError(f"{shown_url(url)}: expected a list of files")
            for entry in page:
                if entry.get("type") == "file":
                    yield _remote_file(entry)
            url = following

    def _ask(self, url: str) -> tuple[Any, str | None]:
        """An answer in JSON, and the address of its next page."""

        def once() -> tuple[Any, str | None]:
            with self.connection.open(url, {"Accept": "application/json"}) as response:
                try:
                    body = response.read(MAX_ANSWER + 1)
                except (OSError, HTTPException) as error:
                    raise Trouble(f"{shown_url(url)}: the connection broke: {error}") from None
                link = _NEXT.search(response.headers.get("Link", ""))
            if len(body) > MAX_ANSWER:
                raise HubError(f"{shown_url(url)}: the answer has more than {MAX_ANSWER:,} bytes")
            try:
                return json.loads(body), link[1] if link else None
            except ValueError:
                raise HubError(f"{shown_url(url)}: the answer is no JSON; is it a hub?") from None

        return self.connection.patiently(once)


def _remote_file(entry: dict[str, Any]) -> RemoteFile:
    large = entry.get("lfs") or {}
    name = check_relative(str(entry.get("path")))
    try:
        size = int(large.get("size", entry["size"]))
        return RemoteFile(name, size, Digest(str(large.get("oid") or entry["oid"])))
    except (KeyError, TypeError, ValueError):
        raise HubError(f"the hub states no size or hash for {name}") from None
