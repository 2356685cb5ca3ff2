"""The facts at the head of a model's README: licence, bases, data; as hub pages show them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_CARD_BYTES = 1 << 20  # of a README that are read; its facts are at the head


def read_card(path: Path) -> dict[str, Any]:
    """The facts of the README at `path`; empty when there is none, or none at its head."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    return parse_card(text)


def parse_card(text: str) -> dict[str, Any]:
    """The YAML between the first two lines of `---`."""
    lines = text.lstrip("\ufeff").splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    end = next((n for n, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        return {}
    import yaml  # comes with huggingface_hub

    try:
        found = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError:  # a README that the hub does not understand either
        return {}
    return found if isinstance(found, dict) else {}


def card_licence(card: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Identifier (or own name) and address of the licence that a card states."""
    stated, name, link = (
        _text(card.get(key)) for key in ("license", "license_name", "license_link")
    )
    if stated in (None, "other") and name:
        stated = name
    return stated, link


def card_names(card: Mapping[str, Any], key: str) -> list[str]:
    """The names under `base_model` or `datasets`, which may be one or a list."""
    value = card.get(key)
    listed = value if isinstance(value, list) else [value]
    return [name for item in listed if (name := _text(item))]


def _text(value: object) -> str | None:
    if isinstance(value, list):
        value = value[0] if value else None
    return str(value).strip()[:200] or None if isinstance(value, str | int | float) else None
