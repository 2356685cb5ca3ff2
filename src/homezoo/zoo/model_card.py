"""The facts at the head of a model's README: licence, bases, data; as hub pages show them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homezoo.errors import CheckpointError

MAX_CARD_BYTES = 1 << 20  # of a README that are read; its facts are at the head


def read_card(path: Path) -> dict[str, Any]:
    """The facts of the README at `path`; empty when there is none, or none at its head.

    Raises CheckpointError for facts that cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CARD_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return parse_card(text)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def parse_card(text: str) -> dict[str, Any]:
    """The YAML between the first two lines of `---`: the front matter.

    Raises CheckpointError when it is no YAML, or no mapping of names to values.
    """
    lines = text.lstrip("\ufeff").splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    end = next((n for n, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        return {}
    import yaml  # comes with huggingface_hub

    try:
        found = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"its front matter is no YAML: {reason}") from None
    except RecursionError:
        raise CheckpointError("its front matter is nested too deeply") from None
    if found is not None and not isinstance(found, dict):
        raise CheckpointError(
            f"its front matter is a {type(found).__name__}, not names with values"
        )
    return found or {}


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
