"""Compaction: as few ranks as the facts bear, and never more error than is said."""

from dataclasses import replace

import numpy as np
import pytest

from homezoo.edit.build import deltas_of, layer_problem, no_change, relative_sizes, solve_units
from homezoo.edit.compact import compact, strongest
from homezoo.edit.fact_record import Unit
from homezoo.edit.facts import Fact
from homezoo.edit.profile import Measured, Profile, Protected
from homezoo.edit.solve import Update
from homezoo.formats.block_types import BlockType
from homezoo.formats.tensor import Tensor

WIDTH, OUT, SHARED = 40, 24, 5


def measured() -> Measured:
    random = np.random.default_rng(0)
    text = random.standard_normal((200, WIDTH)).astype(np.float32)
    profile = Profile("ab" * 32, "llama", WIDTH, "prompt_last", (1,), 3.0, protected=0.5)
    keys = Protected(random.standard_normal((6, WIDTH)).astype(np.float32), np.zeros(6, np.int64))
    known = (Fact("a:k", "a:p", "k", ("x",)),)
    return Measured(profile, {1: text.T @ text / 200}, {1: keys}, known, np.zeros(0, np.int32))


def units(count: int, noise: float) -> list[Unit]:
    """Units whose residuals are nearly combinations of SHARED directions."""
    random = np.random.default_rng(1)
    common = random.standard_normal((SHARED, OUT))
    found = []
    for n in range(count):
        value = random.standard_normal(SHARED) @ common + noise * random.standard_normal(OUT)
        arrays = random.standard_normal(WIDTH).astype(np.float32), value.astype(np.float32)
        found.append(Unit(f"{n:02}", f"f{n}", 0, 1, f"p{n}", {1: 1.0}, *arrays, 5.0, 0.1, 1.0))
    return found


def errors(update: Update, small: Update, some: list[Unit]) -> np.ndarray:
    """|Delta_r k - Delta k| / |r| of each unit, by the dense matrices."""
    change = small.dense() - update.dense()
    return np.array([np.linalg.norm(change @ unit.key) / np.linalg.norm(unit.residual)
                     for unit in some])  # fmt: skip


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1])
def test_the_error_is_the_one_that_is_said_and_the_rank_the_lowest(noise: float) -> None:
    some, held = units(12, noise), measured()
    updates = solve_units(some, held)
    found = compact(updates, some, held)
    worst = errors(updates[1], found.updates[1], some).max()
    assert worst <= 0.1
    assert worst == pytest.approx(found.error, rel=1e-6, abs=1e-9)
    assert (found.before, found.after) == (12, found.updates[1].a.shape[0])
    assert found.after >= SHARED and (noise > 0.0 or found.after == SHARED)
    p = layer_problem(some, held, 1)
    vectors = strongest(updates[1], p.keys, p.protected())[:, : found.after - 1]
    lower = Update(vectors.T @ updates[1].b @ updates[1].a, vectors)
    assert errors(updates[1], lower, some).max() > 0.1
    assert f"rank 12 to {found.after}" in str(found)


def test_the_nearest_of_a_rank_is_that_of_the_weighted_decomposition() -> None:
    some, held = units(12, 0.5), measured()
    update = solve_units(some, held)[1]
    p = layer_problem(some, held, 1)
    values, vectors = np.linalg.eigh(p.protected() + p.keys.T @ p.keys)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    u, s, vt = np.linalg.svd(update.dense() @ root)
    expected = (u[:, :4] * s[:4]) @ vt[:4] @ np.linalg.inv(root)
    kept = strongest(update, p.keys, p.protected())[:, :4]
    assert np.abs(kept @ kept.T @ update.dense() - expected).max() < 1e-9


def test_values_that_have_nothing_in_common_keep_their_rank() -> None:
    some, held = [replace(u, residual=np.eye(OUT, dtype=np.float32)[n])
                  for n, u in enumerate(units(8, 0.0))], measured()  # fmt: skip
    updates = solve_units(some, held)
    found = compact(updates, some, held, most_error=1e-6)
    assert found.updates[1] is updates[1]
    assert "nothing gained" in str(found)


def test_no_active_fact_is_a_pair_of_zeros() -> None:
    deltas = deltas_of(no_change(measured().profile, OUT))
    ((name, (a, b)),) = deltas.items()
    assert (name, a.shape, b.shape) == ("blk.1.ffn_down", (1, WIDTH), (OUT, 1))
    assert not a.any() and not b.any()


def test_the_size_of_a_change_is_that_of_the_dense_matrices() -> None:
    random = np.random.default_rng(2)
    weight = random.standard_normal((700, 32)).astype(np.float32)
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((3, 32), (700, 3)))
    tensor = Tensor("w.weight", BlockType.F32, weight.shape, weight.view(np.uint8))
    expected = np.linalg.norm(b @ a) / np.linalg.norm(weight)
    assert relative_sizes({"w": (a, b)}, {"w.weight": tensor})["w"] == pytest.approx(expected)
