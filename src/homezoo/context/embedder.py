"""Vectors of passages and questions, by a model that is open."""

from typing import Any, Protocol

import numpy as np

from homezoo.errors import ContextError, OptionError


class EmbeddingModel(Protocol):
    """What an open Model offers that is used here."""

    def embed(self, text: str) -> np.ndarray:
        """float32 [D]."""
        ...

    @property
    def config(self) -> Any:
        """Sizes, and whether it is causal."""
        ...


class ModelEmbedder:
    """Unit vectors of a model: an encoder's own, or a chat model's mean last states.

    The second were never trained to tell meanings apart: `is_weak` says so, and users are told.
    """

    def __init__(self, model: EmbeddingModel, identity: str) -> None:
        """`identity` names the model by its content, so that no other's vectors are mixed in."""
        self._model = model
        self.identity = identity
        self.is_weak = bool(model.config.causal)

    @property
    def width(self) -> int:
        """Values of a vector."""
        return int(self._model.config.width)

    def embed(self, texts: list[str]) -> np.ndarray:
        """float32 [N, D], each of length 1."""
        return np.stack([self.embed_one(text) for text in texts])

    def embed_one(self, text: str) -> np.ndarray:
        """float32 [D] of length 1. A text too long for the model is the mean of its halves'."""
        if not text.strip():
            raise OptionError("the text to embed is empty")
        vector = self._sum(text)
        length = float(np.linalg.norm(vector))
        return (vector / length if length else vector).astype(np.float32)

    def _sum(self, text: str) -> np.ndarray:
        try:
            vector = self._model.embed(text).astype(np.float64)
            return vector / (np.linalg.norm(vector) or 1.0)
        except ContextError:
            if len(text) < 2:
                raise
        middle = text.rfind(" ", 0, len(text) // 2 + 1)
        middle = middle if middle > 0 else len(text) // 2
        halves = [half for half in (text[:middle], text[middle:]) if half.strip()]
        return np.sum([self._sum(half) for half in halves], axis=0)
