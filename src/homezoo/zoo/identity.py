"""What the hub says that a file is: its hash, size and commit, from the headers of its address."""

from dataclasses import dataclass

from homezoo.errors import HubError
from homezoo.zoo.connection import Connection, shown_url
from homezoo.zoo.digest import Digest


@dataclass(frozen=True)
class Identity:
    """A file of one commit."""

    digest: Digest
    size: int  # bytes
    commit: str | None


def identify(connection: Connection, url: str) -> Identity:
    """Ask the hub itself, not the storage that it redirects to.

    Raises HubError for what the hub refuses or leaves out, Trouble for what may pass. Headers:
    huggingface.co/docs/huggingface_hub, package_reference/file_download, HfFileMetadata.
    """
    with connection.open(url, method="HEAD", leave_host=False) as response:
        headers = response.headers
    etag = headers.get("X-Linked-Etag") or headers.get("ETag")
    size = headers.get("X-Linked-Size") or headers.get("Content-Length")
    if etag is None:
        raise HubError(f"{shown_url(url)}: the hub states no hash, so a download cannot be checked")
    if size is None or not size.isdigit():
        raise HubError(f"{shown_url(url)}: the hub states no size (found {size!r})")
    return Identity(Digest.from_etag(etag), int(size), headers.get("X-Repo-Commit"))
