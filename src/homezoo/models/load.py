"""From an open GGUF file to the model that its `general.architecture` names."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from homezoo.formats.tensor import Tensor
from homezoo.models.bert import Bert
from homezoo.models.bloom import Bloom
from homezoo.models.config import ModelConfig
from homezoo.models.decoder import Decoder
from homezoo.models.gemma2 import Gemma2
from homezoo.models.gemma3 import Gemma3
from homezoo.models.gpt2 import GPT2
from homezoo.models.gptj import GPTJ
from homezoo.models.gptneox import GPTNeoX
from homezoo.models.gptoss import GPTOSS
from homezoo.models.llama import Llama
from homezoo.models.phi3 import Phi3
from homezoo.models.qwen3 import Qwen3
from homezoo.ops.protocol import Array, Ops

Model = Decoder | Bert
ARCHITECTURES: dict[str, Callable[[ModelConfig, Mapping[str, Tensor]], Model]] = {
    "llama": Llama,
    "qwen2": Llama,
    "qwen3": Qwen3,
    "qwen3moe": Qwen3,
    "bloom": Bloom,
    "gpt2": GPT2,
    "gptj": GPTJ,
    "gptneox": GPTNeoX,
    "gemma2": Gemma2,
    "gemma3": Gemma3,
    "phi3": Phi3,
    "smollm3": Llama,
    "gpt-oss": GPTOSS,
    "bert": Bert,
}


class States:
    """A model that stops before its output matrix, so that any backend gives its last states."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def forward(self, ops: Ops) -> Array:
        """Final-normed states [R, D] of the rows that the batch asks for."""
        return ops.select(self._model.hidden(ops))


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
