"""LlamaIndex on homezoo: its own query engine, retriever and evaluators, offline."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "llama_index.core", reason="LlamaIndex has an environment of its own (make test-llamaindex)"
)

from context.made_models import with_template
from llama_index.core import Document, PromptHelper, Settings, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.evaluation import FaithfulnessEvaluator, RetrieverEvaluator
from llama_index.core.schema import TextNode
from llama_index.core.storage.storage_context import StorageContext
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from homezoo.errors import ContextError, IndexFileError, OptionError
from homezoo.integrations.llama_index import (
    HomezooEmbedding,
    HomezooLLM,
    HomezooNodeParser,
    HomezooVectorStore,
)
from homezoo.run.model import Model

TEXTS = {
    "lions": "# Lions\nLions eat meat at nine.\n## Night\nLions sleep on the rock.",
    "bears": "# Bears\nBears eat honey. Bears sleep in winter.",
    "gate": "# Gate\nThe gate opens at eight.",
}


@pytest.fixture(scope="module")
def model(stories_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = with_template(stories_path, tmp_path_factory.mktemp("model") / "talks.gguf")
    with Model.open(path) as opened:
        yield opened


@pytest.fixture
def llm(model: Model) -> HomezooLLM:
    return HomezooLLM(model, options={"max_tokens": 8})


@pytest.fixture
def store(tmp_path: Path) -> HomezooVectorStore:
    return HomezooVectorStore(tmp_path / "nodes.sqlite")


@pytest.fixture
def index(model: Model, llm: HomezooLLM, store: HomezooVectorStore) -> Any:
    Settings.llm = llm
    Settings.embed_model = HomezooEmbedding(model)
    Settings.tokenizer = llm.tokenizer
    Settings.prompt_helper = PromptHelper(2048, 64, tokenizer=llm.tokenizer)
    documents = [
        Document(
            text=text,
            id_=name,
            metadata={"animal": "no" if name == "gate" else "yes", "size": len(text)},
        )
        for name, text in TEXTS.items()
    ]
    return VectorStoreIndex.from_documents(
        documents,
        storage_context=StorageContext.from_defaults(vector_store=store),
        transformations=[HomezooNodeParser(budget=64)],
    )


def test_complete_and_chat_are_the_models_own_answers(model: Model, llm: HomezooLLM) -> None:
    said = [{"role": "user", "content": "Why?"}]
    expected = model.chat(said, temperature=0, max_tokens=8).text
    assert llm.complete("Why?").text == expected
    response = llm.chat([ChatMessage(role="user", content="Why?")])
    assert response.message.content == expected and response.message.role.value == "assistant"
    assert response.additional_kwargs["completion_tokens"] == 8
    raw = model.generate("Once", temperature=0, max_tokens=8).text
    assert llm.complete("Once", formatted=True).text == raw
    assert llm.complete("Once", formatted=True, max_tokens=2).text == raw[:len(
        llm.complete("Once", formatted=True, max_tokens=2).text
    )]  # fmt: skip


def test_streams_give_the_same_in_pieces(llm: HomezooLLM) -> None:
    whole = llm.complete("Why?").text
    pieces = list(llm.stream_complete("Why?"))
    assert len(pieces) > 1 and pieces[-1].text == whole == "".join(p.delta for p in pieces)
    chats = list(llm.stream_chat([ChatMessage(role="user", content="Why?")]))
    assert chats[-1].message.content == whole == "".join(c.delta for c in chats)
    assert asyncio.run(llm.acomplete("Why?")).text == whole


def test_tokens_are_the_models(model: Model, llm: HomezooLLM) -> None:
    assert llm.count_tokens("One lion.") == len(model.tokenizer.encode("One lion."))
    assert llm.metadata.context_window == model.context and llm.metadata.is_chat_model
    with pytest.raises(ContextError, match="the context 2048"):
        llm.complete("word " * 3000)
    with pytest.raises(OptionError, match="unknown option 'temprature'"):
        HomezooLLM(model, options={"temprature": 1})


def test_a_model_without_a_template_completes(stories_path: Path) -> None:
    llm = HomezooLLM(stories_path, options={"max_tokens": 5})
    assert not llm.metadata.is_chat_model
    assert llm.chat([ChatMessage(role="user", content="Once")]).message.content
    assert list(llm.stream_chat([ChatMessage(role="user", content="Once")]))


def test_the_query_engine_answers_from_what_it_found(index: Any, llm: HomezooLLM) -> None:
    engine = index.as_query_engine(similarity_top_k=2, response_mode="compact")
    response = engine.query("What do bears eat?")
    assert str(response) and len(response.source_nodes) == 2
    assert engine.query("What do bears eat?").response == response.response
    streamed = index.as_query_engine(streaming=True, similarity_top_k=2).query("What do bears eat?")
    assert "".join(streamed.response_gen) == response.response


def test_the_retriever_and_its_evaluator(index: Any, store: HomezooVectorStore) -> None:
    nodes = {node.get_content(): node.node_id for node in store.get_nodes()}
    bears = next(id for text, id in nodes.items() if "honey" in text)
    retriever = index.as_retriever(similarity_top_k=3, vector_store_query_mode="hybrid")
    assert retriever.retrieve("honey")[0].node.node_id == bears
    evaluator = RetrieverEvaluator.from_metric_names(["mrr", "hit_rate"], retriever=retriever)
    result = evaluator.evaluate(query="honey", expected_ids=[bears])
    assert result.metric_vals_dict == {"mrr": 1.0, "hit_rate": 1.0}


def test_an_evaluator_can_judge_by_our_model(index: Any, llm: HomezooLLM) -> None:
    response = index.as_query_engine(similarity_top_k=1).query("honey?")
    judged = FaithfulnessEvaluator(llm=llm).evaluate_response(response=response)
    assert judged.passing in (True, False) and judged.feedback


def test_nodes_are_passages_with_their_places(index: Any, store: HomezooVectorStore) -> None:
    for node in store.get_nodes():
        assert isinstance(node, TextNode) and node.ref_doc_id in TEXTS
        assert TEXTS[node.ref_doc_id][node.start_char_idx : node.end_char_idx] == node.text
    headings = {node.metadata["heading"] for node in store.get_nodes()}
    assert headings == {"Lions", "Lions > Night", "Bears", "Gate"}


def only(*filters: MetadataFilter, condition: FilterCondition = FilterCondition.AND) -> Any:
    return MetadataFilters(filters=list(filters), condition=condition)


def found(store: HomezooVectorStore, **settings: Any) -> set[str]:
    width = int(store.client.setting("width") or 0)
    query = VectorStoreQuery(query_embedding=[0.1] * width, similarity_top_k=9, **settings)
    return {node.ref_doc_id or "" for node in store.query(query).nodes or []}


def test_filters(index: Any, store: HomezooVectorStore) -> None:
    animal = MetadataFilter(key="animal", value="yes")
    small = MetadataFilter(key="size", operator=FilterOperator.LT, value=50)
    night = MetadataFilter(key="heading", operator=FilterOperator.CONTAINS, value="Night")
    assert found(store) == {"lions", "bears", "gate"}
    assert found(store, filters=only(animal)) == {"lions", "bears"}
    assert found(store, filters=only(animal, small)) == {"bears"}
    assert found(store, filters=only(small, night, condition=FilterCondition.OR)) == set(TEXTS)
    assert found(store, filters=only(animal, condition=FilterCondition.NOT)) == {"gate"}
    assert found(store, filters=only(only(animal), small)) == {"bears"}
    assert found(store, doc_ids=["gate"]) == {"gate"}
    hybrid = {"query_str": "sleep", "mode": VectorStoreQueryMode.TEXT_SEARCH}
    assert found(store, filters=only(small), **hybrid) == {"bears"}
    with pytest.raises(OptionError, match="query mode is 'mmr'"):
        found(store, mode=VectorStoreQueryMode.MMR)


def test_documents_can_be_deleted_and_the_file_opened_again(
    index: Any, store: HomezooVectorStore
) -> None:
    index.delete_ref_doc("lions")
    assert found(store) == {"bears", "gate"}
    again = HomezooVectorStore(store.client.path)
    assert found(again) == {"bears", "gate"} and again.client.problems() == []
    again.clear()
    assert again.get_nodes() == [] and found(again) == set()


def test_vectors_of_another_width_are_refused(index: Any, store: HomezooVectorStore) -> None:
    with pytest.raises(IndexFileError, match="have 3 values"):
        store.add([TextNode(text="x", embedding=[1.0, 0.0, 0.0])])
