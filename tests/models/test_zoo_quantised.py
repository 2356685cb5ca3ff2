"""Every row of docs/models.md, quantised by our own mixes, keeps most of its first choices."""

from pathlib import Path

import pytest
from zoo_quantised import (
    ROWS,
    architecture_of,
    computed,
    cosine,
    divergence,
    same_choice,
    write_row,
)

from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.kinds import KINDS
from homezoo.zoo.quantize import quantize_file

DOCS = Path(__file__).resolve().parents[2] / "docs" / "models.md"
# Mean KL in nats that no row may exceed, and choices kept. Random models show rounding at its
# worst: their logits are near ties everywhere, and nothing in them was trained to stand noise.
BOUNDS = {"Q8_0": (0.003, 0.93), "Q4_K_M": (0.15, 0.6)}


@pytest.mark.parametrize("name", ROWS)
def test_mixes_keep_most_choices(tmp_path: Path, name: str) -> None:
    path = write_row(name, tmp_path / "f32.gguf")
    whole = computed(path)
    for mix, (most, kept) in BOUNDS.items():
        with GGUFFile.open(path) as file:
            made = quantize_file(file, tmp_path / f"{mix}.gguf", mix)
        assert not made.notes  # nothing fell back to another format
        found = computed(tmp_path / f"{mix}.gguf")
        if name == "bert":
            assert cosine(whole, found) > 0.99
        else:
            assert divergence(whole, found) < most and same_choice(whole, found) > kept


def test_every_row_of_the_docs_has_a_case() -> None:
    lines = [line for line in DOCS.read_text("utf-8").splitlines() if line.startswith("| `")]
    named = [line.split("`")[1] for line in lines[1:]]  # without the head
    assert named == [architecture_of(name) for name in ROWS] and set(named) == set(KINDS)
