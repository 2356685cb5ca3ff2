"""The logarithm of the softmax, for figures about models (not for a pass through one)."""

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """float64, along the last axis."""
    wide = np.asarray(logits, np.float64)
    wide = wide - wide.max(axis=-1, keepdims=True)
    found: np.ndarray = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return found
