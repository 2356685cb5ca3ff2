"""Finds passages: by words (BM25), by vectors, or by both, their ranks fused."""

import re
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from homezoo.context.index import Index
from homezoo.errors import IndexFileError, OptionError
from homezoo.ops.scan import Scan, pack_vectors

WAYS = ("auto", "bm25", "vectors", "fused")
# A word in more than this share of the passages says little and costs much: it is left out of a
# query that has others.
COMMON_SHARE = 0.2
COMMON_LEAST = 50  # passages; in a small index every word counts
CANDIDATES = 50  # of each way, before fusion
FUSION_K = 60  # Cormack, Clarke and Büttcher 2009, section 2: score = sum of 1 / (60 + rank)
MOST_WORDS = 64  # of one query
_WORD = re.compile(r"\w+")

Embed = Callable[[str], np.ndarray]  # a query as a vector [D]


@dataclass(frozen=True)
class Hit:
    """A passage that was found. `ranks` says where each way had it, from 1."""

    passage: int
    path: str
    start: int
    end: int
    heading: str
    page: int | None
    text: str
    tokens: int
    score: float
    ranks: dict[str, int] = field(hash=False)


class Searcher:
    """Searches one index; vectors are read into memory when first needed."""

    def __init__(self, index: Index, embed: Embed | None = None, threads: int = 1) -> None:
        """`embed` makes a query's vector with the index's own embedder."""
        self._index = index
        self._embed = embed
        self._threads = threads
        self._state: tuple[int, int] | None = None
        self._common: dict[str, bool] = {}
        self._ids = np.zeros(0, np.int64)
        self._scan: Scan | None = None

    def search(
        self, query: str, top: int = 5, way: str = "auto", allowed: Set[int] | None = None
    ) -> list[Hit]:
        """The best passages, the best first; of those `allowed`, by number, if it is given.

        `auto` is `fused` where the index has vectors and there is an embedder, else `bm25`. Raises
        OptionError for an unknown way, IndexFileError for vectors that the index has not.
        """
        if way not in WAYS:
            raise OptionError(f"the way to search is {way!r}; expected one of {', '.join(WAYS)}")
        if top < 1:
            raise OptionError(f"top is {top}; expected 1 or more")
        self._refresh()
        if way == "auto":
            way = "fused" if self._scan is not None and self._embed is not None else "bm25"
        if way == "bm25":
            return self._hits({"bm25": self.by_words(query, top, allowed)}, top)
        if self._scan is None or self._embed is None:
            what = "has no vectors" if self._scan is None else "needs its embedder for vectors"
            raise IndexFileError(
                f"{self._index.path.name} {what}; add documents with --embedder MODEL, or search "
                "with --by bm25"
            )
        if way == "vectors":
            return self._hits({"vectors": self.by_vectors(self._embed(query), top, allowed)}, top)
        wide = max(CANDIDATES, top)
        found = {
            "bm25": self.by_words(query, wide, allowed),
            "vectors": self.by_vectors(self._embed(query), wide, allowed),
        }
        return self._hits(found, top)

    def by_words(
        self, query: str, top: int, allowed: Set[int] | None = None
    ) -> list[tuple[int, float]]:
        """Passages and BM25 scores (higher is better), by SQLite's FTS5: k1 = 1.2, b = 0.75."""
        words = list(dict.fromkeys(_WORD.findall(query.lower())))[:MOST_WORDS]
        telling = [word for word in words if not self._is_common(word)] or words
        if not telling:
            return []
        either = " OR ".join(f'"{word}"' for word in telling)
        rows = self._index.connection.execute(
            "SELECT rowid, rank FROM word WHERE word MATCH ? ORDER BY rank LIMIT ?",
            (either, top if allowed is None else -1),
        )
        found = ((int(row[0]), -float(row[1])) for row in rows)
        return list(islice((f for f in found if allowed is None or f[0] in allowed), top))

    def by_vectors(
        self, query: np.ndarray, top: int, allowed: Set[int] | None = None
    ) -> list[tuple[int, float]]:
        """Passages and inner products with the query [D], by a scan over all of them."""
        self._refresh()
        if self._scan is None:
            return []
        if query.shape != (self._scan.width,):
            raise IndexFileError(
                f"the query has {query.size} values and the index's vectors {self._scan.width}; "
                "use the embedder that made them"
            )
        mask = None if allowed is None else np.isin(self._ids, list(allowed))
        places, scores = self._scan.nearest(query, top, mask)
        return [(int(self._ids[p]), float(s)) for p, s in zip(places, scores, strict=True)]

    def _hits(self, found: dict[str, list[tuple[int, float]]], top: int) -> list[Hit]:
        ranks: dict[int, dict[str, int]] = {}
        for way, rows in found.items():
            for rank, (passage, _) in enumerate(rows, 1):
                ranks.setdefault(passage, {})[way] = rank
        if len(found) == 1:
            (only,) = found.values()
            scores = dict(only)
        else:
            scores = {
                passage: sum(1 / (FUSION_K + rank) for rank in places.values())
                for passage, places in ranks.items()
            }
        best = sorted(scores, key=lambda passage: (-scores[passage], passage))[:top]
        return [self._hit(passage, scores[passage], ranks[passage]) for passage in best]

    def _hit(self, passage: int, score: float, ranks: dict[str, int]) -> Hit:
        row = self._index.connection.execute(
            "SELECT path, start, end, heading, page, text, tokens FROM passage "
            "JOIN document ON document.id = passage.document WHERE passage.id = ?",
            (passage,),
        ).fetchone()
        path, start, end, heading, page, text, tokens = row
        return Hit(passage, path, start, end, heading, page, text, tokens, score, ranks)

    def _is_common(self, word: str) -> bool:
        """Whether more than a fifth of the passages have it."""
        if word not in self._common:
            (passages,) = self._index.connection.execute("SELECT count(*) FROM passage").fetchone()
            limit = max(COMMON_LEAST, int(COMMON_SHARE * passages))
            (found,) = self._index.connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM word WHERE word MATCH ? LIMIT ?)",
                (f'"{word}"', limit + 1),
            ).fetchone()
            self._common[word] = found > limit
        return self._common[word]

    def _refresh(self) -> None:
        """Forgets what was in memory when the file has changed since."""
        connection = self._index.connection
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        state = (int(version), connection.total_changes)
        if state == self._state:
            return
        self._state = state
        self._common = {}
        self._ids, self._scan = np.zeros(0, np.int64), None
        width = self._index.setting("width")
        if width is None:
            return
        ids, rows = read_vectors(
            connection.execute("SELECT passage, blocks FROM vector"), int(width)
        )
        if len(ids):
            self._ids, self._scan = ids, Scan(rows, int(width), self._threads)


def read_vectors(rows: Iterable[tuple[int, bytes]], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Passage ids int64 [N] and blocks uint8 [N, row bytes] of rows of the vector table."""
    row_bytes = pack_vectors(np.zeros((1, width), np.float32)).shape[1]
    ids: list[int] = []
    blocks: list[bytes] = []
    for passage, block in rows:
        if len(block) != row_bytes:
            raise IndexFileError(
                f"the vector of passage {passage} has {len(block)} bytes, expected {row_bytes}; "
                "make the index again"
            )
        ids.append(passage)
        blocks.append(block)
    matrix = np.frombuffer(b"".join(blocks), np.uint8).reshape(len(ids), row_bytes)
    return np.array(ids, np.int64), matrix
