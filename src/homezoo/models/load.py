"""From an open GGUF file to the model that its `general.architecture` names."""

from collections.abc import Mapping
from typing import Any, Protocol

from homezoo.formats.tensor import Tensor
from homezoo.models.config import ModelConfig
from homezoo.models.llama import Llama
from homezoo.models.qwen3 import Qwen3

Model = Llama | Qwen3
ARCHITECTURES: dict[str, type[Llama] | type[Qwen3]] = {
    "llama": Llama,
    "qwen2": Llama,
    "qwen3": Qwen3,
}


class ModelFile(Protocol):
    """What is read of a GGUF file: formats.gguf_read.GGUFFile, or a model made in memory."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Key to value."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Name to tensor."""


def load_model(gguf: ModelFile) -> Model:
    """The model of a file; its tensors stay where they are mapped, so the file must stay open.

    Raises UnsupportedError for another architecture, listing the supported ones; GGUFError for
    wrong metadata or tensors.
    """
    config = ModelConfig.from_metadata(gguf.metadata, gguf.tensors)
    return ARCHITECTURES[config.architecture](config, gguf.tensors)
