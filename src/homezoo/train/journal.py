"""The log of a run: one JSON object a line, appended as it happens; and a picture of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homezoo.errors import UnsupportedError
from homezoo.formats.whole_file import whole_file


class Journal:
    """A JSONL file beside the adapter; resuming takes away what came after the checkpoint."""

    def __init__(self, path: Path, keep_steps: int | None = None) -> None:
        """A new file, or with `keep_steps` the old one up to that step."""
        self.path = path
        kept = (
            []
            if keep_steps is None
            else [entry for entry in read_journal(path) if entry.get("step", 0) <= keep_steps]
        )
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in kept)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Appends one entry, at once."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Its entries; a last line that was cut short by a crash is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text("utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def draw_losses(journal: Path, picture: Path) -> None:
    """Loss of training and validation by step, as the kind of picture that the suffix names.

    UnsupportedError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UnsupportedError("a plot needs matplotlib: pip install 'homezoo[plot]'") from None
    entries = read_journal(journal)
    figure = Figure(figsize=(7, 4))
    axes = figure.add_subplot()
    for key, label in (("loss", "training"), ("validation", "validation")):
        points = [(entry["step"], entry[key]) for entry in entries if key in entry]
        if points:
            axes.plot(
                *zip(*points, strict=True), label=label, marker="." if len(points) < 50 else ""
            )
    axes.set_xlabel("step")
    axes.set_ylabel("loss of a learned token")
    axes.grid(alpha=0.3)
    axes.legend()
    with whole_file(picture) as file:
        figure.savefig(file, format=picture.suffix[1:] or None, dpi=120, bbox_inches="tight")
