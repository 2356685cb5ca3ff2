"""Searched scales: never worse than the plain ones, better on weights, and the same format."""

import numpy as np
import pytest

from homezoo.errors import GGUFError
from homezoo.formats.block_fit import fit
from homezoo.formats.block_quantize import quantize
from homezoo.formats.block_types import BlockType
from homezoo.formats.blocks import dequantize

SEARCHED = (BlockType.Q4_0, BlockType.Q4_1, BlockType.Q5_0, BlockType.Q5_1)
# Mean squared error on normal weights, by that of the plain scales; measured, plus 0.01.
GAINS = {
    BlockType.Q4_0: 0.90,
    BlockType.Q4_1: 0.81,
    BlockType.Q5_0: 0.90,
    BlockType.Q5_1: 0.81,
}


def errors(type: BlockType, blocks: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Squared error of each block, float64."""
    difference = dequantize(type, blocks).astype(np.float64) - values
    return np.asarray((difference.reshape(-1, type.block_size) ** 2).sum(axis=1))


def draw(name: str) -> np.ndarray:
    random = np.random.default_rng(3)
    if name == "normal":
        return random.standard_normal((64, 512), np.float32) * np.float32(0.03)
    if name == "far from zero":
        return 3 + random.standard_normal((8, 256), np.float32) / 100
    rows = random.laplace(size=(8, 256)).astype(np.float32)
    rows[0], rows[1], rows[2, 5], rows[3] = 0, -5, 1e4, 1e-7
    return rows


@pytest.mark.parametrize("name", ["normal", "far from zero", "odd"])
@pytest.mark.parametrize("type", SEARCHED)
def test_no_block_is_worse(type: BlockType, name: str) -> None:
    values = draw(name)
    found, plain = (errors(type, make(type, values), values) for make in (fit, quantize))
    assert np.isfinite(found).all() and (found <= plain * (1 + 1e-5) + 1e-12).all()
    if name == "normal":
        assert found.mean() < GAINS[type] * plain.mean()
        assert found.mean() > (GAINS[type] - 0.03) * plain.mean()  # the stated gain is not idle


@pytest.mark.parametrize("type", [type for type in BlockType if type not in SEARCHED])
def test_other_formats_are_those_of_quantize(type: BlockType) -> None:
    values = draw("normal")
    assert np.array_equal(fit(type, values), quantize(type, values))


def test_a_rows_bytes_depend_on_it_alone() -> None:
    values = draw("normal")
    whole = fit(BlockType.Q4_0, values)
    for row in (0, 17, 63):
        assert np.array_equal(fit(BlockType.Q4_0, values[row : row + 1])[0], whole[row])
    values[5, 7] = np.inf
    with pytest.raises(GGUFError, match="row 5 holds inf"):
        fit(BlockType.Q4_0, values)
