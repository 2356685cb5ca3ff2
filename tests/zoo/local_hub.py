"""A hub on this machine that speaks the protocol of the Hugging Face hub, and fails as told to."""

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
CHUNK = 64 << 10


@dataclass
class Request:
    """What the hub was asked, and how many bytes of a body it sent."""

    method: str
    host: str  # as the client called it
    path: str
    headers: dict[str, str]
    sent: int = 0

    @property
    def span(self) -> tuple[int, int] | None:
        """The half-open range of bytes asked for."""
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        return (int(found[1]), int(found[2]) + 1) if found else None


@dataclass
class Faults:
    """What goes wrong; each is taken up as it happens."""

    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # next answers
    cut_after: list[int] = field(default_factory=list)  # bytes of the next bodies
    ranges: bool = True
    flip: int | None = None  # byte of each file that is sent wrong
    speed: float | None = None  # bytes per second of each stream
    token: str | None = None  # without it: 401
    gated: bool = False  # weights are 403 even with the token


@dataclass
class Hub:
    """The repositories: names to files; what is asked is recorded."""

    repositories: dict[str, dict[str, bytes]]
    cards: dict[str, dict[str, object]] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    storage: bool = True  # weights come from another host, as the real hub's do
    storage_tag: str = "storage-1"
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def downloads(self) -> list[Request]:
        """Requests that were sent bytes of files."""
        return [r for r in self.requests if r.method == "GET" and r.sent and "/api/" not in r.path]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub behind a port of this machine."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.close_connection = True
        headers = {name.lower(): value for name, value in self.headers.items()}
        host = headers.get("host", "").split(":")[0]
        path = unquote(urlsplit(self.path).path)
        self.request_seen = Request(self.command, host, path, headers)
        self.hub.requests.append(self.request_seen)
        faults = self.hub.faults
        if faults.statuses and (self.command == "GET" or "/api/" in path):
            status, extra = faults.statuses.pop(0)
            if status:
                return self._send(status, extra)
        storage = path.startswith("/storage/")
        known = headers.get("authorization") == f"Bearer {faults.token}"
        if faults.token and not storage and not known:
            return self._send(401, {"X-Error-Code": "GatedRepo"})
        if path.startswith("/api/models/"):
            return self._answer_api(path.removeprefix("/api/models/"))
        return self._answer_file(path.removeprefix("/storage"), storage)

    def _answer_api(self, path: str) -> None:
        repo = "/".join(path.split("/")[:2])
        if repo == "old/name":
            return self._send(307, {"Location": self.path.replace("old/name", "zoo/tiny")})
        files = self.hub.repositories.get(repo)
        if files is None:
            return self._send(404, {"X-Error-Code": "RepoNotFound"})
        if "/tree/" in path:
            return self._send_json([_entry(name, data) for name, data in files.items()])
        if not path.endswith(("/revision/main", f"/revision/{COMMIT}")):
            return self._send(404, {"X-Error-Code": "RevisionNotFound"})
        card = self.hub.cards.get(repo, {})
        return self._send_json({"id": repo, "sha": COMMIT, "cardData": card, "gated": False})

    def _answer_file(self, path: str, storage: bool) -> None:
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        data = self.hub.repositories.get(found[1], {}).get(found[2]) if found else None
        if data is None:
            return self._send(404, {"X-Error-Code": "EntryNotFound"})
        weights = path.endswith((".gguf", ".safetensors"))
        if weights and self.hub.faults.gated:
            return self._send(403, {"X-Error-Code": "GatedRepo"})
        linked = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Linked-Size": str(len(data)),
        }
        if not weights:
            return self._send_file(data, {"X-Repo-Commit": COMMIT, "ETag": f'"{git_hash(data)}"'})
        if storage:
            return self._send_file(data, {"ETag": f'"{self.hub.storage_tag}"'})
        if self.hub.storage:  # another host: the same machine by another name
            where = f"http://localhost:{self.hub.port}/storage{path}?X-Signature=secret-signature"
            return self._send(302, {**linked, "Location": where})
        return self._send_file(data, {**linked, "ETag": f'"{self.hub.storage_tag}"'})

    def _send_file(self, data: bytes, headers: dict[str, str]) -> None:
        span = self.request_seen.span
        wanted = self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
        if span and span[0] >= len(data):
            return self._send(416, {})
        if span and wanted and self.hub.faults.ranges:
            start, end = span[0], min(span[1], len(data))
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
            return self._send(206, headers, data, start, end)
        return self._send(200, headers, data, 0, len(data))

    def _send_json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self._send(200, {"Content-Type": "application/json"}, data, 0, len(data), whole=True)

    def _send(
        self,
        status: int,
        headers: dict[str, str],
        data: bytes = b"",
        start: int = 0,
        end: int = 0,
        whole: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "GET" and end > start:
            self._send_body(data, start, end, whole)

    def _send_body(self, data: bytes, start: int, end: int, whole: bool) -> None:
        faults = self.hub.faults
        stop = end
        if faults.cut_after and not whole:
            stop = min(end, start + faults.cut_after.pop(0))
        for position in range(start, stop, CHUNK):
            piece = bytearray(data[position : min(position + CHUNK, stop)])
            if not whole and faults.flip is not None and 0 <= faults.flip - position < len(piece):
                piece[faults.flip - position] ^= 1
            if faults.speed and not whole:
                time.sleep(len(piece) / faults.speed)
            try:
                self.wfile.write(piece)
            except OSError:  # the client went away
                return
            self.request_seen.sent += len(piece)


def git_hash(data: bytes) -> str:
    """The SHA-1 by which git names a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _entry(name: str, data: bytes) -> dict[str, object]:
    """A file as the tree of a repository lists it."""
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(data)}
    if name.endswith((".gguf", ".safetensors")):
        digest = hashlib.sha256(data).hexdigest()
        return {**entry, "oid": "0" * 40, "lfs": {"oid": digest, "size": len(data)}}
    return {**entry, "oid": git_hash(data)}
