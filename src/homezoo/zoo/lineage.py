"""Where a model comes from: its bases, data and itself, each with the licence that somebody states.

Read from the file's own metadata (keys `general.license*`, `general.base_model.*`,
`general.dataset.*`, `general.datasets`; source: github.com/ggml-org/ggml, docs/gguf.md), then the
model card beside it, then the tables of well-known licences and origins.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from homezoo.formats.adapter_origin import BASE_LICENCE_KEY, DATA_LICENCE_KEY
from homezoo.zoo.known_origins import Origin, known_data, known_model
from homezoo.zoo.licence_table import UNKNOWN, Licence, Permits, find_licence
from homezoo.zoo.model_card import card_licence, card_names

MAX_LISTED = 64  # bases or data sets of one file; more are a mistake or an attack
_DATA_FILE = re.compile(r"\.(jsonl?|parquet|csv|txt)$")
_FILE, _CARD = "the file's metadata", "the model card"


@dataclass(frozen=True)
class Link:
    """One thing that a model is made of."""

    role: str  # base, data, adapter or model
    name: str
    stated: str | None  # licence, as somebody states it
    by: str | None  # who states it
    link: str | None = None  # where its text is said to be

    @property
    def licence(self) -> Licence | None:
        """The well-known licence, None when it is unknown or none is stated."""
        return find_licence(self.stated) if self.stated else None

    @property
    def permits(self) -> Permits:
        """What it permits, as far as known."""
        return self.licence.permits if self.licence else UNKNOWN


def trace(metadata: Mapping[str, Any], card: Mapping[str, Any], name: str) -> list[Link]:
    """The chain of a model: what it was made from first, itself last; each name once.

    `metadata` is that of its GGUF file, `card` the head of its README, either may be empty; `name`
    is used when the file has none.
    """
    own = _own(metadata, card, name)
    on_card, where = card_licence(card)
    bases = [*_listed(metadata, "base_model"), *card_names(card, "base_model")]
    data = [
        *_listed(metadata, "dataset"),
        *_array(metadata, "general.datasets"),
        *card_names(card, "datasets"),
    ]
    of_base, of_data = (_text(metadata.get(key)) for key in (BASE_LICENCE_KEY, DATA_LICENCE_KEY))
    chain: dict[tuple[str, str], Link] = {}
    for base in bases[:MAX_LISTED]:
        for link in _origin("base", base, known_model):
            if link.stated is None and of_base:  # what was known of the base when this was made
                link = Link(link.role, link.name, of_base, _FILE)
            chain.setdefault((link.role, _plain(link.name)), link)
    for item in data[:MAX_LISTED]:
        name = _DATA_FILE.sub("", item)  # what is known as alpaca_data comes as alpaca_data.json
        for link in _origin("data", name if known_data(name) else item, known_data):
            if link.stated is None and of_data:  # an adapter's own note of what it was taught with
                link = Link(link.role, link.name, of_data, _FILE)
            chain.setdefault((link.role, _plain(link.name)), link)
    if on_card and own.stated and on_card.lower() != own.stated.lower():  # both count
        return [*chain.values(), Link(own.role, own.name, on_card, _CARD, where), own]
    return [*chain.values(), own]


def _own(metadata: Mapping[str, Any], card: Mapping[str, Any], name: str) -> Link:
    role = "adapter" if metadata.get("general.type") == "adapter" else "model"
    called = _text(metadata.get("general.name")) or name
    stated = _text(metadata.get("general.license"))
    named = _text(metadata.get("general.license.name"))
    link = _text(metadata.get("general.license.link"))
    if named and (stated in (None, "other") or find_licence(stated or "") is None):
        stated = named
    if stated:
        return Link(role, called, stated, _FILE, link)
    stated, link = card_licence(card)
    if stated:
        return Link(role, called, stated, _CARD, link)
    known = known_model(called)
    return (
        Link(role, called, known.licence, known.source) if known else Link(role, called, None, None)
    )


def _origin(role: str, name: str, find: Callable[[str], Origin | None]) -> Iterator[Link]:
    """The links of something only named: what it is known to come from, then itself."""
    known = find(name)
    if known is None:
        yield Link(role, name, None, None)
        return
    for before in known.made_from:
        data = known_data(before)
        yield from _origin("data" if data else "base", before, known_data if data else known_model)
    yield Link(role, name, known.licence, known.source)


def _listed(metadata: Mapping[str, Any], kind: str) -> list[str]:
    """Names under `general.<kind>.<number>.*`: the repository if it is given, else the name."""
    names = []
    for number in range(MAX_LISTED):
        head = f"general.{kind}.{number}."
        name = _text(metadata.get(head + "name"))
        owner = _text(metadata.get(head + "organization"))
        repository = _repository(_text(metadata.get(head + "repo_url")))
        found = repository or (f"{owner}/{name}" if owner and name and "/" not in name else name)
        if found is None:
            break
        names.append(found.replace(" ", "-") if owner else found)
    return names


def _repository(url: str | None) -> str | None:
    """`owner/name` of an address of the hub, the address itself of another."""
    if not url:
        return None
    parts = [part for part in urlsplit(url).path.split("/") if part and part != "datasets"]
    return "/".join(parts[:2]) if "huggingface.co" in url and len(parts) >= 2 else url


def _array(metadata: Mapping[str, Any], key: str) -> list[str]:
    value = metadata.get(key, ())
    if isinstance(value, str):
        return [value]
    return [text for item in list(value)[:MAX_LISTED] if (text := _text(item))]


def _text(value: object) -> str | None:
    return value.strip()[:200] or None if isinstance(value, str) else None


def _plain(name: str) -> str:
    """A name by which the same thing is recognised."""
    return name.lower().rpartition("/")[2].replace(" ", "-")
