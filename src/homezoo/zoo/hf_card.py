"""What a Hugging Face folder says about itself: name, licence and origin, as `general.*` keys."""

import re
from pathlib import Path
from typing import Any

from homezoo.zoo.model_card import read_card

HUB = "https://huggingface.co/"
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def card_metadata(folder: Path, parameters: int) -> dict[str, Any]:
    """`general.*` keys from the folder's name, its size and the front matter of its README.md.

    Raises CheckpointError for a card that cannot be read.
    """
    card = read_card(folder / "README.md")
    name = folder.resolve().name
    keys: dict[str, Any] = {
        "general.type": "model",
        "general.name": name,
        "general.size_label": size_label(parameters),
    }
    for theirs, ours in (
        ("license", "general.license"),
        ("license_name", "general.license.name"),
        ("license_link", "general.license.link"),
    ):
        value = card.get(theirs)
        texts = [str(item) for item in value] if isinstance(value, list) else [value]
        if value is not None and all(isinstance(text, str) for text in texts):
            keys[ours] = ", ".join(str(text) for text in texts)
    keys |= _lineage("base_model", _texts(card.get("base_model")))
    keys |= _lineage("dataset", _texts(card.get("datasets")))
    for theirs, ours in (("tags", "general.tags"), ("language", "general.languages")):
        if texts := _texts(card.get(theirs)):
            keys[ours] = texts
    return keys


def size_label(parameters: int) -> str:
    """`7B`, `1.1B`, `260K`: as GGUF's naming has it, with at most one decimal below 10."""
    for unit, letter in _UNITS:
        if parameters >= unit:
            value = parameters / unit
            return (f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:.0f}") + letter
    return str(parameters)


def _lineage(kind: str, repositories: list[str]) -> dict[str, Any]:
    """`general.<kind>.count` and of each its name, organisation and address."""
    if not repositories:
        return {}
    keys: dict[str, Any] = {f"general.{kind}.count": len(repositories)}
    for index, repository in enumerate(repositories):
        prefix = f"general.{kind}.{index}"
        organisation, _, name = repository.rpartition("/")
        keys[f"{prefix}.name"] = name
        if organisation:
            keys[f"{prefix}.organization"] = organisation
        if re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
            place = "datasets/" if kind == "dataset" else ""
            keys[f"{prefix}.repo_url"] = f"{HUB}{place}{repository}"
    return keys


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str) and text]
