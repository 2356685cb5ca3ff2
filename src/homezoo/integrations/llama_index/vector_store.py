"""An index file as LlamaIndex's vector store: exhaustive search of vectors, words, or both."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from homezoo.context.index import FileState, Index
from homezoo.context.passages import Passage, estimate_tokens
from homezoo.context.search import Searcher
from homezoo.errors import IndexFileError, OptionError
from homezoo.integrations.llama_index.filters import passes

_TABLE = (
    "CREATE TABLE IF NOT EXISTS llama_index_node("
    "id TEXT PRIMARY KEY, ref TEXT, passage INTEGER NOT NULL, json TEXT NOT NULL) WITHOUT ROWID"
)
_WAYS = {
    VectorStoreQueryMode.DEFAULT: "vectors",
    VectorStoreQueryMode.TEXT_SEARCH: "bm25",
    VectorStoreQueryMode.HYBRID: "fused",
}


class HomezooVectorStore(BasePydanticVectorStore):
    """Nodes with their vectors in one SQLite file that survives a crash; `homezoo search` reads it.

    Modes: default (vectors), text_search (BM25) and hybrid (ranks fused). Every metadata filter of
    LlamaIndex but those of geography works.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    _index: Index = PrivateAttr()

    def __init__(self, path: str | Path, **settings: Any) -> None:
        """Opens the file, or makes it. IndexFileError for another file of that name."""
        super().__init__(stores_text=True, **settings)
        path = Path(path)
        self._index = Index.open(path) if path.exists() else Index.create(path)
        self._index.connection.execute(_TABLE)
        self._index.commit()

    @classmethod
    def class_name(cls) -> str:
        return "HomezooVectorStore"

    @property
    def client(self) -> Index:
        """The open index."""
        return self._index

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Writes nodes, in place of those with their ids; all are on the disk when it returns."""
        import json

        for node in nodes:
            vector = np.asarray(node.get_embedding(), np.float32)
            self._check_width(len(vector))
            text = node.get_content(metadata_mode=MetadataMode.NONE)
            (tokens,) = estimate_tokens([text])
            passage = Passage(0, len(text), text, tokens, "", None)
            self._index.put(node.node_id, "node", FileState("", 0, 0), [passage], vector[None])
            content = json.dumps(node_to_metadata_dict(node, remove_text=False))
            self._index.connection.execute(
                "INSERT OR REPLACE INTO llama_index_node SELECT ?, ?, max(id), ? FROM passage",
                (node.node_id, node.ref_doc_id, content),
            )
        self._index.commit()
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Forgets the nodes of a document."""
        rows = self._index.connection.execute(
            "SELECT id FROM llama_index_node WHERE ref = ?", (ref_doc_id,)
        ).fetchall()
        self.delete_nodes([row[0] for row in rows])

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Forgets the nodes with these ids that pass the filters."""
        for node, _ in self._nodes(node_ids, filters):
            self._index.remove(node.node_id)
            self._index.connection.execute(
                "DELETE FROM llama_index_node WHERE id = ?", (node.node_id,)
            )
        self._index.commit()

    def clear(self) -> None:
        """Forgets all nodes."""
        self.delete_nodes()

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """The nodes with these ids, all by default, that pass the filters."""
        return [node for node, _ in self._nodes(node_ids, filters)]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nearest nodes. OptionError for a mode that there is not, or one without its query."""
        way = _WAYS.get(query.mode)
        if way is None:
            raise OptionError(
                f"the query mode is {query.mode.value!r}; expected "
                f"{', '.join(mode.value for mode in _WAYS)}"
            )
        if way != "vectors" and query.query_str is None:
            raise OptionError(f"the query mode {query.mode.value!r} needs a query text")
        if not self._index.counts()["passages"]:
            return VectorStoreQueryResult(nodes=[], similarities=[], ids=[])
        vector = query.query_embedding
        searcher = Searcher(
            self._index, None if vector is None else lambda _: np.asarray(vector, np.float32)
        )
        restricted = query.filters or query.doc_ids or query.node_ids
        allowed = None
        if restricted:
            chosen = self._nodes(query.node_ids, query.filters)
            wanted = set(query.doc_ids) if query.doc_ids else None
            allowed = {place for node, place in chosen if not wanted or node.ref_doc_id in wanted}
        top = query.hybrid_top_k or query.similarity_top_k
        hits = searcher.search(query.query_str or "", top, way, allowed)
        nodes = {node.node_id: node for node, _ in self._nodes([hit.path for hit in hits], None)}
        return VectorStoreQueryResult(
            nodes=[nodes[hit.path] for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.path for hit in hits],
        )

    def _nodes(
        self, ids: list[str] | None, filters: MetadataFilters | None
    ) -> list[tuple[BaseNode, int]]:
        """Nodes and the numbers of their passages."""
        import json

        connection = self._index.connection
        if ids is None:
            rows = connection.execute("SELECT json, passage FROM llama_index_node").fetchall()
        else:
            one = "SELECT json, passage FROM llama_index_node WHERE id = ?"
            rows = [row for id in ids for row in connection.execute(one, (id,))]
        nodes = [(metadata_dict_to_node(json.loads(text)), place) for text, place in rows]
        return [
            (node, place) for node, place in nodes if not filters or passes(filters, node.metadata)
        ]

    def _check_width(self, width: int) -> None:
        known = self._index.setting("width")
        if known is None:
            self._index.set("width", str(width))
        elif int(known) != width:
            raise IndexFileError(
                f"the vectors have {width} values and those of {self._index.path.name} {known}; "
                "use the embedding that made them"
            )
