"""The filters that leave a few candidates, made not to sort a whole vocabulary.

Candidates are token ids in ascending order and their logits. Every filter leaves at least one.
"""

import numpy as np

# First guess at how many tokens hold the wanted mass. Most distributions of a language model give
# 95 % to fewer; a wrong guess costs one more partition of 4 times as many.
FIRST_GUESS = 256


def top_k(ids: np.ndarray, logits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k candidates of highest logit; of equal ones at the edge, those of lower id."""
    if k >= len(ids):
        return ids, logits
    chosen = _smallest(-logits, k)
    return ids[chosen], logits[chosen]


def typical_p(ids: np.ndarray, logits: np.ndarray, mass: float) -> tuple[np.ndarray, np.ndarray]:
    """The fewest candidates of mass `mass` whose surprise is nearest to the mean surprise.

    Meister et al. 2022, "Locally typical sampling", equation 10.
    """
    probabilities = softmax(logits)  # [C]
    surprise = -np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    entropy = float(np.sum(probabilities * surprise, dtype=np.float64))
    chosen = _fewest_of_mass(np.abs(surprise - np.float32(entropy)), probabilities, mass)
    return ids[chosen], logits[chosen]


def top_p(ids: np.ndarray, logits: np.ndarray, mass: float) -> tuple[np.ndarray, np.ndarray]:
    """The fewest likeliest candidates of mass `mass` (Holtzman et al. 2020, section 3.1)."""
    chosen = _fewest_of_mass(-logits, softmax(logits), mass)
    return ids[chosen], logits[chosen]


def min_p(ids: np.ndarray, logits: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Candidates at least `share` times as likely as the best (Nguyen et al. 2024, equation 2)."""
    chosen = np.flatnonzero(logits >= logits.max() + np.float32(np.log(share)))
    return ids[chosen], logits[chosen]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities float32 [C], summed in float64."""
    powers = np.exp(logits - logits.max())
    total = powers.sum(dtype=np.float64)
    return np.asarray(powers / np.float32(total))


def _smallest(keys: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` smallest keys [C], ascending; of equal keys at the edge, the first."""
    edge = np.partition(keys, count - 1)[count - 1]
    places = np.flatnonzero(keys <= edge)
    surplus = len(places) - count
    if surplus:
        tied = np.flatnonzero(keys[places] == edge)
        places = np.delete(places, tied[len(tied) - surplus :])
    return places


def _fewest_of_mass(keys: np.ndarray, probabilities: np.ndarray, mass: float) -> np.ndarray:
    """Places, ascending, of the fewest smallest keys whose probabilities reach `mass`."""
    guess = FIRST_GUESS
    while guess < len(keys):
        places = _smallest(keys, guess)
        if probabilities[places].sum(dtype=np.float64) >= mass:
            break
        guess *= 4
    else:
        places = np.arange(len(keys))
    near = keys[places]
    reached = np.cumsum(probabilities[places[np.argsort(near)]], dtype=np.float64)
    needed = min(int(np.searchsorted(reached, mass)) + 1, len(places))
    return places[_smallest(near, needed)]
