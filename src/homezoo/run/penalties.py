"""Changes to single logits: the caller's bias, and penalties on tokens that were used recently."""

import numpy as np

from homezoo.errors import OptionError
from homezoo.run.options import GenerationOptions


class Penalties:
    """Biases and penalties of one generation; knows whether there is anything to do at all."""

    def __init__(self, options: GenerationOptions, vocab_size: int) -> None:
        """OptionError names a biased token that the vocabulary does not have."""
        self._bias_ids = np.array(list(options.logit_bias), np.int64)  # [B]
        self._biases = np.array(list(options.logit_bias.values()), np.float32)  # [B]
        if self._bias_ids.size and self._bias_ids.max() >= vocab_size:
            raise OptionError(
                f"logit_bias names token {self._bias_ids.max()}; "
                f"the vocabulary has 0 to {vocab_size - 1}"
            )
        self._repetition = np.float32(options.repetition_penalty)
        self._presence = np.float32(options.presence_penalty)
        self._frequency = np.float32(options.frequency_penalty)
        self._window = options.penalty_window
        self._penalises = (
            options.repetition_penalty != 1.0
            or options.presence_penalty != 0.0
            or options.frequency_penalty != 0.0
        )

    def apply(self, logits: np.ndarray, history: list[int]) -> np.ndarray:
        """Logits [V] with bias and penalties; the array itself when there are none, else a copy.

        `history` is the prompt and the answer so far; its last `penalty_window` tokens are recent.
        """
        if not self._bias_ids.size and not self._penalises:
            return logits
        logits = logits.copy()
        logits[self._bias_ids] += self._biases
        if self._penalises and history:
            self._penalise(logits, history[-self._window :])
        return logits

    def _penalise(self, logits: np.ndarray, recent: list[int]) -> None:
        """Keskar et al. 2019 (CTRL), section 4.1, made to lower negative logits too; then, as in
        OpenAI's API, presence once and frequency for each occurrence."""
        ids, counts = np.unique(np.array(recent, np.int64), return_counts=True)
        values = logits[ids]
        divided = values / self._repetition
        values = np.where(values > 0, divided, values * self._repetition)
        logits[ids] = values - self._presence - self._frequency * counts.astype(np.float32)
