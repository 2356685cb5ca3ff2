"""From logits to the next token: the same for the same seed and place, whatever is beside it."""

import secrets

import numpy as np

from homezoo.errors import HomezooError, OptionError
from homezoo.run import filters
from homezoo.run.options import SEED_END, GenerationOptions
from homezoo.run.penalties import Penalties


class Sampler:
    """Chooses the tokens of one sequence. Holds no state that a choice changes."""

    def __init__(self, options: GenerationOptions, vocab_size: int) -> None:
        """Draws a seed when the options have none. OptionError for a bias outside."""
        self.options = options
        self.seed = secrets.randbelow(SEED_END) if options.seed is None else options.seed
        self._penalties = Penalties(options, vocab_size)
        self._vocab_size = vocab_size

    def choose(
        self, logits: np.ndarray, history: list[int], allowed: np.ndarray | None = None
    ) -> int:
        """The token after `history`, the prompt and the answer so far.

        `logits` float32 [V or more]; what lies beyond the vocabulary is never chosen. `allowed`
        bool [V] are the tokens that a constraint lets through. Raises OptionError when biases and
        constraint leave no token, HomezooError when the model's logits are not numbers.
        """
        logits = logits[: self._vocab_size]
        if not np.isfinite(logits.max()):
            raise HomezooError(
                f"the model's logits have a maximum of {logits.max()}; its weights are damaged"
            )
        logits = self._penalties.apply(logits, history)
        if allowed is None:
            ids = None
        else:
            ids = np.flatnonzero(allowed[: self._vocab_size])
            logits = logits[ids]
        if not len(logits) or logits.max() == -np.inf:
            raise OptionError(
                f"no token is left at position {len(history)}; "
                "logit_bias forbids all that the constraint allows"
            )
        if self.options.temperature == 0.0:
            place = int(logits.argmax())  # the first, so the lowest id, of equal ones
            return place if ids is None else int(ids[place])
        if ids is None:
            ids = np.arange(len(logits))
        return self._draw(*self._filter(ids, logits), len(history))

    def _filter(self, ids: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The candidates that the options keep, ids [C] ascending and logits [C]."""
        options = self.options
        if options.top_k:
            ids, logits = filters.top_k(ids, logits, options.top_k)
        if options.typical_p < 1.0:
            ids, logits = filters.typical_p(ids, logits, options.typical_p)
        if options.top_p < 1.0:
            ids, logits = filters.top_p(ids, logits, options.top_p)
        if options.min_p > 0.0:
            ids, logits = filters.min_p(ids, logits, options.min_p)
        return ids, logits

    def _draw(self, ids: np.ndarray, logits: np.ndarray, position: int) -> int:
        """Inverts the candidates' cumulative distribution at the position's own random number."""
        with np.errstate(over="ignore"):  # a tiny temperature makes all but the best exp(-inf) = 0
            powers = np.exp((logits - logits.max()) / np.float32(self.options.temperature))
        reached = np.cumsum(powers, dtype=np.float64)  # [C]
        place = np.searchsorted(reached, uniform(self.seed, position) * reached[-1], side="right")
        last = int(
            np.searchsorted(reached, reached[-1])
        )  # the last candidate that is possible at all
        return int(ids[min(int(place), last)])


def uniform(seed: int, position: int) -> float:
    """A position's random number in [0, 1): Philox keyed by the seed, counting positions.

    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". Depends on nothing else, so a
    token is the same alone or in a batch, with a fresh or a reused prefix.
    """
    word = int(np.random.Philox(key=seed, counter=position).random_raw())
    return (word >> 11) * 2.0**-53  # the 53 bits that a float64 holds
