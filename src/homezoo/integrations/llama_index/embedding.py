"""A model as LlamaIndex's embedding: an encoder such as MiniLM, or weakly a chat model's states."""

from pathlib import Path
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from homezoo.context.embedder import ModelEmbedder
from homezoo.formats.adapter_origin import identify_base
from homezoo.run.model import Model


class HomezooEmbedding(BaseEmbedding):
    """Unit vectors by a GGUF model. `is_weak` says that it is a chat model, not an encoder."""

    _embedder: ModelEmbedder = PrivateAttr()

    def __init__(
        self, model: Model | str | Path, *, threads: int | None = None, **settings: Any
    ) -> None:
        """`model` is an open Model, which stays its owner's, or the path of a GGUF file."""
        if not isinstance(model, Model):
            model = Model.open(model, threads=threads)
        super().__init__(model_name=model.path.name, **settings)
        self._embedder = ModelEmbedder(model, identify_base(model.tensors).weights)

    @classmethod
    def class_name(cls) -> str:
        return "HomezooEmbedding"

    @property
    def is_weak(self) -> bool:
        """Whether the vectors are a chat model's, which tell meanings apart weakly."""
        return self._embedder.is_weak

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        vector: list[float] = self._embedder.embed_one(text).tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)
