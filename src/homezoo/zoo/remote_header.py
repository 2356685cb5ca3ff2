"""Reads the header of a model on the hub: its first bytes by ranges, and nothing of the weights."""

from functools import partial
from http.client import HTTPException

from homezoo.errors import GGUFError, HubError
from homezoo.formats.gguf_cursor import Budget
from homezoo.formats.gguf_header import Header
from homezoo.formats.gguf_outline import Beginning, Outline, make_outline, outline_header
from homezoo.zoo.connection import Trouble, shown_url
from homezoo.zoo.hub import Hub, RemoteFile, Repository
from homezoo.zoo.offers import Offer, missing_parts

FIRST_BYTES = 1 << 20  # header of a vocabulary of 32,000 tokens
# Real headers have up to 20 MB (a vocabulary of 260,000 tokens with scores, and a template).
MAX_BYTES = 64 << 20


def read_remote_header(hub: Hub, repository: Repository, offer: Offer) -> Outline:
    """The outline of an offer's model; of a split one, the headers of all parts.

    Raises HubError, and GGUFError for what is no sound GGUF file.
    """
    if lacking := missing_parts(offer):
        raise HubError(f"{repository.name} lacks {lacking[0]}, so {offer.name} is not whole there")
    headers = []
    budget = Budget()
    for file in offer.files:
        if not file.name.lower().endswith(".gguf"):
            raise HubError(f"{file.name} is no GGUF file; `homezoo fit` reads the headers of those")
        headers.append(_header(hub, repository, file, budget))
    return make_outline(headers)


def _header(hub: Hub, repository: Repository, file: RemoteFile, budget: Budget) -> Header:
    url = hub.address(repository, file)
    data = b""
    wanted = FIRST_BYTES
    while True:
        stop = min(wanted, file.size)
        data += hub.connection.patiently(partial(_range, hub, url, len(data), stop))
        left = Budget(budget.memory, budget.scanned)
        header = outline_header(Beginning(file.name, data, file.size), left)
        if header is not None:
            budget.memory, budget.scanned = left.memory, left.scanned
            return header
        if wanted >= min(MAX_BYTES, file.size):
            raise GGUFError(
                f"{file.name}: no header ends within {len(data):,} bytes, far more than any real "
                "model's; the file is damaged or hostile"
            )
        wanted *= 2


def _range(hub: Hub, url: str, start: int, stop: int) -> bytes:
    """Bytes start to stop - 1; HubError where the server sends whole files only."""
    asked = {"Range": f"bytes={start}-{stop - 1}"}
    with hub.connection.open(url, asked) as response:
        if response.status != 206 and start:
            raise HubError(f"{shown_url(url)}: the server sends whole files only; use homezoo pull")
        try:
            data = response.read(stop - start)
        except (OSError, HTTPException) as error:
            raise Trouble(f"{shown_url(url)}: the connection broke: {error}") from None
    if len(data) < stop - start:
        raise Trouble(f"{shown_url(url)}: the connection broke after {len(data):,} bytes")
    return data
