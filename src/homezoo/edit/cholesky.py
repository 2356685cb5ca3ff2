"""Symmetric positive systems in float64, by Cholesky's factor, with NumPy alone."""

import numpy as np

from homezoo.errors import EditError

BLOCK = 128  # rows solved at once: long enough that products dominate, small enough to invert


class Factor:
    """L of M = L Lᵀ, float64 [K, K]."""

    def __init__(self, matrix: np.ndarray) -> None:
        """`matrix` [K, K] is symmetric; EditError when it is not positive definite."""
        try:
            self.lower = np.linalg.cholesky(np.asarray(matrix, np.float64))
        except np.linalg.LinAlgError:
            raise EditError(
                f"a matrix of {len(matrix)} rows that must be positive definite is not; "
                "measure the covariance on more text"
            ) from None
        self._inverses = [
            np.linalg.inv(self.lower[at : at + BLOCK, at : at + BLOCK])
            for at in range(0, len(self.lower), BLOCK)
        ]

    def solve(self, right: np.ndarray) -> np.ndarray:
        """M⁻¹ right, float64 [K, n]."""
        return self._backward(self._forward(right))

    def _forward(self, right: np.ndarray) -> np.ndarray:
        """L⁻¹ right."""
        found = np.array(right, np.float64)
        for number, at in enumerate(range(0, len(found), BLOCK)):
            rows = slice(at, at + BLOCK)
            found[rows] -= self.lower[rows, :at] @ found[:at]
            found[rows] = self._inverses[number] @ found[rows]
        return found

    def _backward(self, right: np.ndarray) -> np.ndarray:
        """L⁻ᵀ right."""
        found = np.array(right, np.float64)
        for number, at in reversed(list(enumerate(range(0, len(found), BLOCK)))):
            rows = slice(at, at + BLOCK)
            found[rows] -= self.lower[at + BLOCK :, rows].T @ found[at + BLOCK :]
            found[rows] = self._inverses[number].T @ found[rows]
        return found
