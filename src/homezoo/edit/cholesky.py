"""Symmetric positive systems in float64, by Cholesky's factor, with NumPy alone."""

import numpy as np

from homezoo.errors import EditError

WIDE = 256  # rows and columns of a step of the factorisation
BLOCK = 128  # rows solved at once: long enough that products dominate, small enough to invert


class Factor:
    """L of M = L Lᵀ, float64 [K, K]."""

    def __init__(self, matrix: np.ndarray, overwrite: bool = False) -> None:
        """`matrix` [K, K] is symmetric; EditError when it is not positive definite.

        With `overwrite` a float64 matrix becomes the factor itself, and no second one is held.
        """
        self.lower = matrix if overwrite else np.array(matrix, np.float64)
        try:
            _factorise(self.lower)
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


def _factorise(matrix: np.ndarray) -> None:
    """Turns the lower half of a symmetric matrix into L, block by block, in its own memory.

    What stands above the diagonal blocks is left as it was and never read.
    """
    size = len(matrix)
    for at in range(0, size, WIDE):
        end = min(at + WIDE, size)
        corner = np.linalg.cholesky(matrix[at:end, at:end])
        matrix[at:end, at:end] = corner
        turned = np.linalg.inv(corner).T
        for row in range(end, size, WIDE):
            rows = slice(row, row + WIDE)
            matrix[rows, at:end] = matrix[rows, at:end] @ turned
        for row in range(end, size, WIDE):
            rows = slice(row, row + WIDE)
            last = min(row + WIDE, size)
            matrix[rows, end:last] -= matrix[rows, at:end] @ matrix[end:last, at:end].T
