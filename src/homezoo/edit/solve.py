"""From keys and residuals to the change of one weight: all closed-form editors, one interface.

Each finds Delta = b a with Delta kᵢ near rᵢ for the facts and small for ordinary keys: MEMIT's
ridge (Meng et al. 2022, equation 14), ROME's equality for one fact (Meng et al. 2022a, equation 2),
EMMET's for several (Gupta et al. 2024), and AlphaEdit's projection (Fang et al. 2024, equation 12).
Rows are units: keys [n, K], residuals [n, D], K the width inside the feed-forward network.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from homezoo.edit.cholesky import Factor
from homezoo.errors import OptionError

Method = Literal["memit", "rome", "emmet", "alphaedit"]
METHODS: tuple[str, ...] = ("memit", "rome", "emmet", "alphaedit")
DIAGONAL = 1e-3  # of the mean eigenvalue, added to a covariance so that it can be inverted
EMMET_EPSILON = 1e-6  # of the mean diagonal of the equality's system
# Share of a covariance's trace: the weakest directions that hold so much together count as unused.
# The paper's threshold, 0.02, is of eigenvalues in one model's units; of their mean it leaves a
# small model so little room that nothing can be written (docs/LOG.md).
ALPHA_SHARE = 0.1
ALPHA_RIDGE = 0.03  # L2 of AlphaEdit's inner ridge, in units of a mean squared key inside them


@dataclass(frozen=True, eq=False)
class Update:
    """Delta = b a, to be added to a weight [D, K]."""

    a: np.ndarray  # float64 [n, K]: row i finds fact i's key
    b: np.ndarray  # float64 [D, n]: column i is fact i's value

    def dense(self) -> np.ndarray:
        """Delta, float64 [D, K]."""
        product: np.ndarray = self.b @ self.a
        return product


def regular(covariance: np.ndarray) -> np.ndarray:
    """A covariance that can be inverted: a little of its mean eigenvalue on the diagonal."""
    found = np.array(covariance, np.float64)
    found[np.diag_indices(len(found))] += DIAGONAL * np.trace(found) / len(found)
    return found


def solve(
    keys: np.ndarray,
    residuals: np.ndarray,
    covariance: np.ndarray,
    strength: float,
    method: Method = "memit",
    history: np.ndarray | None = None,
    overwrite: bool = False,
) -> Update:
    """The update for n units, by any method.

    `covariance` [K, K] is E[k kᵀ] over ordinary text, made invertible; `strength` is λ, how many
    pseudo-tokens of it protect the past. `history` [m, K] are keys of earlier batches, whose
    answers stay. With `overwrite` a float64 covariance is used up. Raises OptionError for an
    unknown method or arrays that do not fit each other.
    """
    keys, residuals = np.asarray(keys, np.float64), np.asarray(residuals, np.float64)
    _check(keys, residuals, covariance, strength)
    if not len(keys):
        return Update(np.zeros((0, len(covariance))), np.zeros((residuals.shape[1], 0)))
    if method == "memit":
        protected = protect(covariance if overwrite else covariance.copy(), strength, history)
        return ridge(keys, residuals, protected, overwrite=True)
    if method in ("rome", "emmet"):
        if method == "rome" and len(keys) != 1:
            raise OptionError(f"rome writes one unit at a time; found {len(keys)}: use emmet")
        return equality(keys, residuals, covariance, EMMET_EPSILON if method == "emmet" else 0.0)
    if method == "alphaedit":
        return alpha(keys, residuals, covariance, history)
    raise OptionError(f"method is {method!r}; expected one of {', '.join(METHODS)}")


def protect(
    covariance: np.ndarray, strength: float, history: np.ndarray | None = None
) -> np.ndarray:
    """λC + HᵀH, what stays, in the covariance's own memory; H [m, K] are the protected keys."""
    covariance *= strength
    if history is not None and len(history):
        covariance += history.T @ history
    return covariance


def ridge(
    keys: np.ndarray,
    residuals: np.ndarray,
    protected: np.ndarray,
    dual: bool | None = None,
    overwrite: bool = False,
) -> Update:
    """R Kᵀ (P + K Kᵀ)⁻¹ with P [K, K] = λC and what else is protected.

    By the dual form while there are fewer units than K: U = P⁻¹K, a = (I + KᵀU)⁻¹ Uᵀ, b = R.
    """
    if len(keys) < keys.shape[1] if dual is None else dual:
        spread = Factor(protected, overwrite).solve(keys.T)  # U, [K, n]
        gram = keys @ spread  # G, [n, n]
        gram[np.diag_indices(len(gram))] += 1.0
        return Update(np.linalg.solve(gram, spread.T), residuals.T.copy())
    whole = Factor(protected + keys.T @ keys)
    return Update(whole.solve(keys.T).T.copy(), residuals.T.copy())


def equality(
    keys: np.ndarray, residuals: np.ndarray, covariance: np.ndarray, epsilon: float
) -> Update:
    """R (KᵀC⁻¹K + εI)⁻¹ KᵀC⁻¹; with one unit and ε = 0 it is ROME's r (C⁻¹k)ᵀ / kᵀC⁻¹k.

    ε is in units of the system's mean diagonal.
    """
    spread = Factor(covariance).solve(keys.T)  # [K, n]
    gram = keys @ spread
    gram[np.diag_indices(len(gram))] += epsilon * np.trace(gram) / len(gram)
    return Update(np.linalg.solve(gram, spread.T), residuals.T.copy())


def unused_directions(covariance: np.ndarray, share: float = ALPHA_SHARE) -> np.ndarray:
    """The weakest eigenvectors [K, m] of C, which hold at most `share` of its trace together."""
    values, vectors = np.linalg.eigh(covariance)
    found: np.ndarray = vectors[:, np.cumsum(values) <= share * values.sum()]
    return found


def alpha(
    keys: np.ndarray,
    residuals: np.ndarray,
    covariance: np.ndarray,
    history: np.ndarray | None = None,
    share: float = ALPHA_SHARE,
) -> Update:
    """R KᵀP (H P + K KᵀP + L2·I)⁻¹ with P the projection on unused directions.

    Computed inside them, where P is the identity. L2 is in units of what the keys have there, so
    that it fits any model. OptionError when there is no such direction.
    """
    free = unused_directions(covariance, share)  # [K, m]
    if not free.shape[1]:
        raise OptionError(
            f"no direction of the covariance has less than {share:g} of its trace, so AlphaEdit "
            "has nowhere to write; use memit"
        )
    inside = keys @ free  # [n, m]
    size = float(np.mean(np.sum(inside**2, 1)))
    protected = ALPHA_RIDGE * size * np.eye(free.shape[1])
    if history is not None and len(history):
        past = history @ free
        protected += past.T @ past
    found = ridge(inside, residuals, protected)
    return Update(found.a @ free.T, found.b)


def without(update_keys: np.ndarray, protected: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """a of the ridge after units `gone` (bool [n]) are retracted, by a downdate of M⁻¹K.

    M'⁻¹ = M⁻¹ + M⁻¹K_S (I - K_SᵀM⁻¹K_S)⁻¹ K_SᵀM⁻¹ (Woodbury), so that nothing is factored anew.
    """
    whole = Factor(protected + update_keys.T @ update_keys)
    spread = whole.solve(update_keys.T)  # M⁻¹K, [K, n]
    removed = update_keys[gone]
    inner = np.eye(len(removed)) - removed @ spread[:, gone]
    kept = spread[:, ~gone]
    found = kept + spread[:, gone] @ np.linalg.solve(inner, removed @ kept)
    return np.ascontiguousarray(found.T)


def reduce_rank(update: Update) -> Update:
    """The same change with rank at most D, by an exact QR; unchanged when it is not above that."""
    width = update.b.shape[0]
    if update.a.shape[0] <= width:
        return update
    orthogonal, upper = np.linalg.qr(update.b)  # [D, D], [D, n]
    return Update(upper @ update.a, orthogonal)


def _check(
    keys: np.ndarray, residuals: np.ndarray, covariance: np.ndarray, strength: float
) -> None:
    if keys.ndim != 2 or residuals.ndim != 2 or len(keys) != len(residuals):
        raise OptionError(
            f"keys of shape {keys.shape} and residuals of {residuals.shape} do not fit each other"
        )
    if covariance.shape != (keys.shape[1], keys.shape[1]):
        raise OptionError(
            f"a covariance of shape {covariance.shape} for keys of width {keys.shape[1]}"
        )
    if not strength > 0:
        raise OptionError(f"strength is {strength}; expected a number above 0")
