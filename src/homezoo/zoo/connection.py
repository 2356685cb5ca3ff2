"""HTTP to a hub: redirects that never take the token to another host, and the waits a server asks
for. Plain standard library; proxies of the environment are used."""

import http.client
import random
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from homezoo.errors import HubError

AGENT = "homezoo"
MAX_REDIRECTS = 8  # the hub needs two: a renamed repository, then its storage
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_REDIRECTS = {301, 302, 303, 307, 308}
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
Result = TypeVar("Result")


class Trouble(Exception):
    """What may pass: a cut connection, a busy server. Carries the seconds that it asked to wait."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server. Seconds."""

    tries: int = 6  # in a row without a byte: with doubling waits, half a minute in all
    first_wait: float = 1.0
    longest_wait: float = 120.0  # a server that asks for more is told to the user instead
    timeout: float = 30.0  # without a byte


class Waits:
    """The waits between tries of one thing; `progressed` forgives what failed before."""

    def __init__(self, patience: Patience, stop: threading.Event | None = None) -> None:
        self._patience = patience
        self._stop = stop or threading.Event()
        self._failed = 0

    def progressed(self) -> None:
        """Something came: the next failure is the first again."""
        self._failed = 0

    def wait_after(self, trouble: Trouble) -> None:
        """Wait before the next try; HubError when there should be none."""
        self._failed += 1
        patience = self._patience
        if self._failed >= patience.tries:
            raise HubError(f"{trouble}; gave up after {self._failed} tries, pull again to resume")
        doubled = patience.first_wait * 2 ** (self._failed - 1)
        wait = max(trouble.retry_after, doubled * random.uniform(0.75, 1.25))  # not all at once
        if wait > patience.longest_wait:
            raise HubError(f"{trouble}; pull again in {wait:.0f} seconds, it will resume")
        self._stop.wait(wait)


class _Unprocessed(urllib.request.HTTPErrorProcessor):
    """Gives every response as it is: neither errors nor redirects are handled by urllib."""

    def http_response(
        self, request: urllib.request.Request, response: http.client.HTTPResponse
    ) -> http.client.HTTPResponse:
        return response

    https_response = http_response


class Connection:
    """Requests to one endpoint. The token goes to its own scheme, host and port, nowhere else."""

    def __init__(self, endpoint: str, token: str | None, patience: Patience) -> None:
        self.endpoint = endpoint
        self.patience = patience
        self.token = token if _is_safe(endpoint) else None
        context = _tls_context()
        self._opener = urllib.request.build_opener(
            _Unprocessed(), urllib.request.HTTPSHandler(context=context)
        )

    def patiently(self, action: Callable[[], Result]) -> Result:
        """The result of `action`, tried again while it raises Trouble."""
        waits = Waits(self.patience)
        while True:
            try:
                return action()
            except Trouble as trouble:
                waits.wait_after(trouble)

    def open(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        leave_host: bool = True,
    ) -> http.client.HTTPResponse:
        """A response with its body unread, after redirects; with `leave_host` False the redirect
        to another host is itself the response.

        Raises Trouble for what may pass, HubError for what will not.
        """
        for _ in range(MAX_REDIRECTS):
            response = self._request(url, headers or {}, method)
            if response.status not in _REDIRECTS:
                break
            target = urljoin(url, response.headers.get("Location", ""))
            if _origin(target) != _origin(url) and not leave_host:
                return response
            response.close()
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise HubError(f"{shown_url(url)} redirects to {shown_url(target)}, not encrypted")
            url = target
        else:
            raise HubError(f"{shown_url(url)}: more than {MAX_REDIRECTS} redirects")
        if response.status >= 400:
            with response:
                raise _refusal(url, response, bool(self.token))
        return response

    def _request(
        self, url: str, headers: Mapping[str, str], method: str
    ) -> http.client.HTTPResponse:
        if urlsplit(url).scheme not in ("http", "https"):
            raise HubError(f"{shown_url(url)} is no http address; check HF_ENDPOINT")
        request = urllib.request.Request(url, method=method)
        request.add_header("User-Agent", AGENT)
        request.add_header("Accept-Encoding", "identity")  # ranges and hashes are of the file
        for name, value in headers.items():
            request.add_header(name, value)
        if self.token and _origin(url) == _origin(self.endpoint):
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            response: http.client.HTTPResponse = self._opener.open(
                request, timeout=self.patience.timeout
            )
            return response
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _failure(url, error) from None


def _failure(url: str, error: Exception) -> Exception:
    """What a request that got no response means."""
    reason = getattr(error, "reason", error)
    message = f"{_origin(url)} cannot be reached: {reason or type(error).__name__}"
    if isinstance(reason, ssl.SSLCertVerificationError) or isinstance(error, ValueError):
        return HubError(message)
    return Trouble(message)


def _refusal(url: str, response: http.client.HTTPResponse, has_token: bool) -> Exception:
    """What a status of 400 and more means, in words."""
    status, code = response.status, response.headers.get("X-Error-Code", "")
    where = shown_url(url)
    if status in _TRANSIENT:
        wait = _seconds(response.headers.get("Retry-After", ""))
        busy = "too many requests" if status == 429 else "the server is busy"
        return Trouble(f"{where}: {busy} (status {status})", wait)
    if code in ("RepoNotFound", "RevisionNotFound", "EntryNotFound") or status == 404:
        what = {"RevisionNotFound": "revision", "EntryNotFound": "file"}.get(code, "repository")
        private = "; a private one needs a token in HF_TOKEN" if not has_token else ""
        return HubError(f"there is no {what} at {where} (status {status}){private}")
    if status == 401:
        given = "was not accepted" if has_token else "is needed and none is set"
        return HubError(f"{where}: a token {given} (status 401); put yours into HF_TOKEN")
    if status == 403:
        own = "with your account" if has_token else "and put your token into HF_TOKEN"
        return HubError(
            f"{where}: access is not granted (status 403); accept the conditions on its page {own}"
        )
    if status == 416:
        return HubError(f"{where} is shorter than the hub said; it changed: pull again")
    return HubError(f"{where}: the server answers with status {status}")


def _seconds(text: str) -> float:
    """Seconds of a Retry-After header: a number, or a date; 0 for anything else."""
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        import datetime

        date = parsedate_to_datetime(text)
        now = datetime.datetime.now(date.tzinfo)
        return max(0.0, (date - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def shown_url(url: str) -> str:
    """An address as a message may show it: without user, password and query, which may be keys."""
    parts = urlsplit(url)
    return f"{_origin(url)}{parts.path}"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def _is_safe(endpoint: str) -> bool:
    """Whether a token may go there: encrypted, or inside this machine."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or parts.hostname in LOOPBACK


def _tls_context() -> ssl.SSLContext:
    """The system's trusted certificates; where Python finds none, those of certifi."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        import certifi  # comes with huggingface_hub

        context.load_verify_locations(certifi.where())
    return context
