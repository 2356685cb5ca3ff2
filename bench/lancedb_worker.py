"""The peer's side of bench/context.py, in an environment that has lancedb: one JSON line each."""

import time
from pathlib import Path
from typing import Any

import worker_loop

TABLE: list[Any] = []


def version() -> dict[str, str]:
    import lancedb

    return {"lancedb": lancedb.__version__}


def build(folder: str, texts: str, vectors: str) -> dict[str, float]:
    """A table of all rows, then its full-text index: seconds of each."""
    import lancedb
    import numpy as np
    import pyarrow as pa

    lines = Path(texts).read_text("utf-8").splitlines()
    matrix = np.load(vectors)
    started = time.perf_counter()
    flat = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])
    rows = pa.table({"id": pa.array(range(len(lines))), "text": lines, "vector": flat})
    table = lancedb.connect(folder).create_table("t", rows, mode="overwrite")
    inserted = time.perf_counter() - started
    started = time.perf_counter()
    table.create_fts_index("text", replace=True)
    TABLE[:] = [table]
    return {"insert_seconds": inserted, "fts_seconds": time.perf_counter() - started}


def words(queries: list[str], top: int) -> list[float]:
    """Seconds of each query."""
    return [_timed(TABLE[0].search(query, query_type="fts"), top)[0] for query in queries]


def vectors(path: str, start: int, stop: int, top: int) -> dict[str, list[Any]]:
    """Seconds of each query, and what it found; exhaustive, as there is no vector index."""
    import numpy as np

    found = []
    for query in np.load(path)[start:stop]:
        found.append(_timed(TABLE[0].search(query).distance_type("dot"), top))
    return {"seconds": [f[0] for f in found], "ids": [f[1] for f in found]}


def _timed(search: Any, top: int) -> tuple[float, list[int]]:
    started = time.perf_counter()
    rows = search.select(["id"]).limit(top).to_arrow()
    return time.perf_counter() - started, rows["id"].to_pylist()


if __name__ == "__main__":
    worker_loop.serve({"version": version, "build": build, "words": words, "vectors": vectors})
