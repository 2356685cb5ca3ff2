"""Search by words, by vectors and by both; the scan against its NumPy reference."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from context.test_index import STATE, passage

from homezoo.context.index import Index
from homezoo.context.search import Searcher
from homezoo.errors import IndexFileError, OptionError
from homezoo.formats.block_types import BlockType
from homezoo.formats.tensor import Tensor
from homezoo.ops.reference_matmul import matmul_canonical
from homezoo.ops.scan import Scan, pack_vectors, padded_width, unpack_vectors


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("width", [32, 384, 50])
def test_the_scan_is_the_reference_product_to_the_bit(width: int) -> None:
    random = np.random.default_rng(1)
    vectors = unit(random.standard_normal((77, width)))
    query = unit(random.standard_normal(width))
    rows = pack_vectors(vectors)
    whole = padded_width(width)
    padded = np.zeros((1, whole), np.float32)
    padded[0, :width] = query
    expected = matmul_canonical(padded, Tensor("v", BlockType.Q8_0, (77, whole), rows))[0]
    scan = Scan(rows, width)
    assert np.array_equal(scan.scores(query), expected)
    assert np.array_equal(scan.scores(-query), -expected)  # the program is used again
    assert np.abs(expected - vectors @ query).max() < 0.01


def test_nearest_finds_what_float32_finds() -> None:
    random = np.random.default_rng(2)
    centres = unit(random.standard_normal((200, 384)))
    vectors = unit(np.repeat(centres, 50, 0) + 0.06 * random.standard_normal((10_000, 384)))
    scan = Scan(pack_vectors(vectors), 384)
    right = 0
    for query in unit(centres[:50] + 0.06 * random.standard_normal((50, 384))):
        expected = np.argsort(-(vectors @ query))[:10]
        places, scores = scan.nearest(query, 10)
        assert list(scores) == sorted(scores, reverse=True)
        right += len(set(places) & set(expected))
    assert right / 500 >= 0.97


def test_nearest_may_be_held_to_some_rows() -> None:
    vectors = np.eye(4, 32, dtype=np.float32)
    scan = Scan(pack_vectors(vectors), 32)
    places, _ = scan.nearest(vectors[0], 3, np.array([False, True, True, False]))
    assert sorted(places) == [1, 2]
    assert np.abs(unpack_vectors(scan.rows, 32) - vectors).max() < 1e-3


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    texts = ["lions eat meat", "bears eat honey", "the zoo opens at nine", "Elefanten trinken"]
    with Index.create(tmp_path / "a.sqlite") as made:
        made.set("width", "32")
        made.set("embedder", "test")
        vectors = np.eye(4, 32, dtype=np.float32)
        for n, text in enumerate(texts):
            made.put(f"{n}", "text", STATE, [passage(text, 5)], vectors[n : n + 1])
        made.commit()
        yield made


def paths(searcher: Searcher, query: str, way: str = "auto", top: int = 5) -> list[str]:
    return [hit.path for hit in searcher.search(query, top, way)]


def test_words_are_found_by_their_stems_and_case_does_not_matter(index: Index) -> None:
    searcher = Searcher(index)
    assert paths(searcher, "LION eating") == ["0", "1"]
    assert paths(searcher, "Where is the ÉLEFANTEN?") == ["3", "2"]
    (hit,) = searcher.search("honey")
    assert (hit.start, hit.end, hit.text, hit.heading) == (5, 20, "bears eat honey", "Head")
    assert hit.ranks == {"bm25": 1} and hit.score > 0


@pytest.mark.parametrize(
    "query",
    ['"', "NEAR(", "a AND", "* OR", "text:lions", "-lions", "lions^2", "", "🦁", "x" * 9999],
)
def test_nothing_in_a_query_is_syntax(index: Index, query: str) -> None:
    found = paths(Searcher(index), query)
    assert found == (["0"] if "lions" in query else [])


def test_words_that_nearly_all_passages_have_are_left_out(index: Index) -> None:
    for n in range(200):
        index.put(f"more{n}", "text", STATE, [passage(f"common filler {n}")], np.eye(1, 32))
    index.commit()
    searcher = Searcher(index)
    assert paths(searcher, "common honey") == ["1"]
    assert len(paths(searcher, "common filler")) == 5  # unless there is no other


def test_vectors_and_fusion(index: Index) -> None:
    queries = {"drink": np.eye(4, 32)[3], "honey": np.eye(4, 32)[1]}
    searcher = Searcher(index, lambda text: queries[text].astype(np.float32))
    assert paths(searcher, "drink", "vectors")[0] == "3"
    assert paths(searcher, "drink", "bm25") == []
    fused = searcher.search("honey", 3)
    assert fused[0].path == "1" and fused[0].ranks == {"bm25": 1, "vectors": 1}
    assert fused[0].score == pytest.approx(2 / 61)


def test_what_the_index_lacks_is_said(index: Index, tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match="needs its embedder"):
        Searcher(index).search("x", way="vectors")
    with pytest.raises(IndexFileError, match="16 values and the index's vectors 32"):
        Searcher(index, lambda text: np.zeros(16, np.float32)).search("x", way="vectors")
    with Index.create(tmp_path / "none.sqlite") as empty:
        embed = lambda text: np.zeros(32, np.float32)  # noqa: E731
        with pytest.raises(IndexFileError, match="has no vectors"):
            Searcher(empty, embed).search("x", way="fused")
        assert Searcher(empty, embed).search("x") == []
    with pytest.raises(OptionError, match="top is 0"):
        Searcher(index).search("x", 0)
    with pytest.raises(OptionError, match="expected one of auto"):
        Searcher(index).search("x", way="magic")


def test_what_another_process_adds_is_found(index: Index) -> None:
    embed = lambda text: np.eye(1, 32, 9)[0].astype(np.float32)  # noqa: E731
    searcher = Searcher(index, embed)
    assert paths(searcher, "tigers", "bm25") == []
    with Index.open(index.path) as other:
        other.put("new", "text", STATE, [passage("tigers")], np.eye(1, 32, 9))
        other.commit()
    assert paths(searcher, "tigers", "fused", 1) == ["new"]
