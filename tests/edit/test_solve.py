"""The solvers: identities between them, exact in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homezoo.edit.cholesky import Factor
from homezoo.edit.solve import (
    ALPHA_RIDGE,
    ALPHA_SHARE,
    equality,
    reduce_rank,
    regular,
    ridge,
    solve,
    unused_directions,
    without,
)
from homezoo.errors import EditError, OptionError

WIDTH, OUT = 48, 20  # K and D


def problem(units: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys [n, K], residuals [n, D] and a covariance [K, K] of uneven eigenvalues."""
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((WIDTH, WIDTH)) * np.geomspace(2, 0.02, WIDTH)
    text = random.standard_normal((400, WIDTH)) @ mixing
    return (
        random.standard_normal((units, WIDTH)) @ mixing,
        random.standard_normal((units, OUT)),
        regular(text.T @ text / len(text)),
    )


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference in units of the largest value."""
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-300))


@given(st.integers(1, 300), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_a_factor_solves(size: int, columns: int) -> None:
    random = np.random.default_rng(size)
    root = random.standard_normal((size, size))
    matrix = root @ root.T + size * np.eye(size)
    right = random.standard_normal((size, columns))
    assert apart(matrix @ Factor(matrix).solve(right), right) < 1e-9


def test_a_matrix_that_is_not_positive_is_refused() -> None:
    with pytest.raises(EditError, match="positive definite"):
        Factor(-np.eye(3))


@pytest.mark.parametrize("units", [1, 7, 47, 48, 90])
def test_primal_is_dual(units: int) -> None:
    keys, residuals, covariance = problem(units)
    protected = 3.0 * units * covariance
    primal, dual = (ridge(keys, residuals, protected, dual=choice) for choice in (False, True))
    assert apart(primal.dense(), dual.dense()) < 1e-9


def test_the_ridge_is_the_minimum_it_claims_to_be() -> None:
    keys, residuals, covariance = problem(9)
    delta = ridge(keys, residuals, 5.0 * covariance).dense()
    gradient = (delta @ keys.T - residuals.T) @ keys + 5.0 * delta @ covariance
    assert np.abs(gradient).max() < 1e-9


def test_one_unit_without_protection_is_rome() -> None:
    keys, residuals, covariance = problem(1)
    key, residual = keys[0], residuals[0]
    inverse = np.linalg.solve(covariance, key)
    rome = np.outer(residual, inverse) / (key @ inverse)
    assert apart(solve(keys, residuals, covariance, 1.0, "rome").dense(), rome) < 1e-9
    assert apart(ridge(keys, residuals, 1e-12 * covariance).dense(), rome) < 1e-9
    assert apart(solve(keys, residuals, covariance, 1.0, "emmet").dense(), rome) < 1e-5


def test_emmet_meets_every_residual_and_is_the_limit_of_the_ridge() -> None:
    keys, residuals, covariance = problem(12)
    delta = equality(keys, residuals, covariance, 0.0).dense()
    assert apart(delta @ keys.T, residuals.T) < 1e-9
    assert apart(ridge(keys, residuals, 1e-13 * covariance).dense(), delta) < 1e-6


def test_strong_protection_changes_nothing() -> None:
    keys, residuals, covariance = problem(5)
    assert np.abs(ridge(keys, residuals, 1e12 * covariance).dense()).max() < 1e-9


def test_alphaedit_leaves_protected_directions_alone() -> None:
    keys, residuals, covariance = problem(6)
    values, vectors = np.linalg.eigh(covariance)
    protected = vectors[:, np.cumsum(values) > ALPHA_SHARE * values.sum()]
    assert 0 < protected.shape[1] < WIDTH
    assert np.trace(covariance) * (1 - ALPHA_SHARE) <= np.trace(
        protected.T @ covariance @ protected
    )
    delta = solve(keys, residuals, covariance, 1.0, "alphaedit").dense()
    assert np.abs(delta).max() > 1e-3
    assert np.abs(delta @ protected).max() < 1e-9


def test_alphaedit_is_the_papers_formula() -> None:
    keys, residuals, covariance = problem(6)
    past = problem(4, seed=1)[0]
    free = unused_directions(covariance)
    project = free @ free.T
    size = np.mean(np.sum((keys @ free) ** 2, axis=1))
    ridge_term = ALPHA_RIDGE * size * np.eye(WIDTH)
    inner = past.T @ past @ project + keys.T @ keys @ project + ridge_term
    expected = residuals.T @ keys @ project @ np.linalg.inv(inner)
    found = solve(keys, residuals, covariance, 1.0, "alphaedit", past).dense()
    assert apart(found, expected) < 1e-9


def test_alphaedit_without_unused_directions_is_an_error() -> None:
    keys, residuals, _ = problem(3)
    with pytest.raises(OptionError, match="nowhere to write"):
        solve(keys[:, :8], residuals, np.eye(8), 1.0, "alphaedit")  # an eighth each, none less


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2]])
def test_batches_with_history_are_one_batch_in_any_order(order: list[int]) -> None:
    keys, residuals, covariance = problem(40)
    whole = solve(keys, residuals, covariance, 30.0).dense()
    parts = [slice(at, at + 10) for at in range(0, 40, 10)]
    delta = np.zeros((OUT, WIDTH))
    past = np.zeros((0, WIDTH))
    for number in order:
        part = parts[number]
        left = residuals[part] - keys[part] @ delta.T  # measured on the edited weights
        delta += solve(keys[part], left, covariance, 30.0, history=past).dense()
        past = np.vstack([past, keys[part]])
    assert apart(delta, whole) < 1e-9


def test_batches_without_history_are_not() -> None:
    keys, residuals, covariance = problem(40)
    whole = solve(keys, residuals, covariance, 30.0).dense()
    halves = [solve(keys[s], residuals[s], covariance, 30.0).dense()
              for s in (slice(0, 20), slice(20, 40))]  # fmt: skip
    assert apart(halves[0] + halves[1], whole) > 1e-2


def test_the_same_set_gives_the_same_bytes() -> None:
    first, second = (solve(*problem(20), 10.0) for _ in range(2))
    assert first.a.tobytes() == second.a.tobytes()
    assert first.b.tobytes() == second.b.tobytes()


def test_a_downdate_is_a_fresh_solution() -> None:
    keys, residuals, covariance = problem(40)
    gone = np.zeros(40, bool)
    gone[[3, 8, 20, 39]] = True
    fresh = ridge(keys[~gone], residuals[~gone], 10.0 * covariance)
    assert apart(without(keys, 10.0 * covariance, gone), fresh.a) < 1e-9
    dropped = ridge(keys, residuals, 10.0 * covariance).a[~gone]
    assert apart(dropped, fresh.a) > 1e-2  # to leave rows out is not to retract


def test_no_unit_is_no_change() -> None:
    keys, residuals, covariance = problem(1)
    update = solve(keys[:0], residuals[:0], covariance, 1.0)
    assert update.dense().shape == (OUT, WIDTH)
    assert not update.dense().any()


def test_more_units_than_rows_are_reduced_without_loss() -> None:
    keys, residuals, covariance = problem(OUT + 11)
    update = ridge(keys, residuals, 10.0 * covariance)
    small = reduce_rank(update)
    assert small.a.shape[0] == OUT
    assert apart(small.dense(), update.dense()) < 1e-12
    assert reduce_rank(small) is small


def test_arrays_that_do_not_fit() -> None:
    keys, residuals, covariance = problem(4)
    with pytest.raises(OptionError, match="do not fit each other"):
        solve(keys, residuals[:3], covariance, 1.0)
    with pytest.raises(OptionError, match="for keys of width"):
        solve(keys[:, :9], residuals, covariance, 1.0)
    with pytest.raises(OptionError, match="strength is 0"):
        solve(keys, residuals, covariance, 0.0)
    with pytest.raises(OptionError, match="use emmet"):
        solve(keys, residuals, covariance, 1.0, "rome")
    with pytest.raises(OptionError, match="expected one of memit"):
        solve(keys, residuals, covariance, 1.0, "magic")  # type: ignore[arg-type]
