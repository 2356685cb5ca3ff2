"""homezoo's passages as LlamaIndex's node parser: whole sentences within a model's token budget."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.node_parser import NodeParser
from llama_index.core.node_parser.node_utils import build_nodes_from_splits
from llama_index.core.schema import BaseNode, MetadataMode

from homezoo.context.document import Document
from homezoo.context.load_text import read_markdown
from homezoo.context.passages import DEFAULT_BUDGET, Count, cut, estimate_tokens
from homezoo.formats.gguf_read import GGUFFile
from homezoo.text.tokenizer import Tokenizer


class HomezooNodeParser(NodeParser):
    """Cuts documents as `homezoo index` does; headings of Markdown come along as metadata."""

    budget: int = Field(default=DEFAULT_BUDGET, description="most tokens of a node")
    markdown: bool = Field(default=True, description="whether `#` lines are headings")
    _counts: list[Count] = PrivateAttr()  # one, in a list: a bare function would be a method

    def __init__(self, model: str | Path | None = None, **settings: Any) -> None:
        """`model`: a GGUF file whose tokens are counted; without one, three bytes are a token."""
        super().__init__(**settings)
        self._counts = [estimate_tokens]
        if model is not None:
            with GGUFFile.open(model) as file:
                self._counts = [Tokenizer.from_metadata(file.metadata).count]

    @classmethod
    def class_name(cls) -> str:
        return "HomezooNodeParser"

    def _parse_nodes(
        self, nodes: Sequence[BaseNode], show_progress: bool = False, **kwargs: Any
    ) -> list[BaseNode]:
        made: list[BaseNode] = []
        for node in nodes:
            text = node.get_content(metadata_mode=MetadataMode.NONE)
            document = read_markdown(text) if self.markdown else Document("text", text)
            passages = list(cut(document, self._counts[0], self.budget))
            parts = build_nodes_from_splits([p.text for p in passages], node, id_func=self.id_func)
            for part, passage in zip(parts, passages, strict=True):
                if passage.heading:
                    part.metadata["heading"] = passage.heading
            made += parts
        return made
