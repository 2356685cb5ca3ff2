"""homezoo for LlamaIndex (extra `llamaindex`): a local model by changing two lines.

Settings.llm = HomezooLLM("model.gguf")
Settings.embed_model = HomezooEmbedding("minilm.gguf")
"""

try:
    import llama_index.core  # noqa: F401
except ImportError:
    raise ImportError(
        "homezoo.integrations.llama_index needs LlamaIndex; run: pip install 'homezoo[llamaindex]'"
    ) from None

from homezoo.integrations.llama_index.embedding import HomezooEmbedding
from homezoo.integrations.llama_index.llm import HomezooLLM
from homezoo.integrations.llama_index.node_parser import HomezooNodeParser
from homezoo.integrations.llama_index.vector_store import HomezooVectorStore

__all__ = ["HomezooEmbedding", "HomezooLLM", "HomezooNodeParser", "HomezooVectorStore"]
