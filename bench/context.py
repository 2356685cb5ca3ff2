"""Indexing and searching 100,000 passages, beside LanceDB in the same run.

    python bench/context.py [--passages 100000] [--rounds 10] [--tokenizer MODEL.gguf]
                            [--peer PYTHON] [--json OUT.json]

Made passages of 40 words of a Zipf vocabulary, in files of 200 on disk; clustered vectors of 384
values. `--peer` is a Python that has lancedb (pip install lancedb numpy, in an environment of its
own); without it only homezoo is measured. Queries of both sides alternate in blocks; each figure is
a median over all queries. On a machine that is busy otherwise, only our processor times mean
something. Recall is against float32 inner products.
"""

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from peer_environment import describe_machine
from worker import Worker

from homezoo.context.index import FileState, Index
from homezoo.context.ingest import Ingest
from homezoo.context.passages import Count, Passage, estimate_tokens
from homezoo.context.search import Searcher

WORDS, PER_FILE, WIDTH, TOP, BLOCK = 40, 200, 384, 10, 20
VOCABULARY = 50_000


def make_texts(count: int, random: np.random.Generator) -> tuple[list[str], list[str]]:
    """Passages, and queries of four words, one of them of a passage."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(
        ["".join(random.choice(letters, random.integers(3, 11))) for _ in range(VOCABULARY)]
    )
    share = 1 / np.arange(1, VOCABULARY + 1)
    chosen = words[random.choice(VOCABULARY, (count, WORDS), p=share / share.sum())]
    texts = [" ".join(row).capitalize() + "." for row in chosen]
    rows = random.choice(chosen.shape[0], 1000)
    queries = [" ".join(random.choice(chosen[row], 4, replace=False)) for row in rows]
    return texts, queries


def make_vectors(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around 2,000 centres, and 1,000 queries around the same: float32."""
    centres = random.standard_normal((2000, WIDTH)).astype(np.float32)

    def around(number: int) -> np.ndarray:
        noise = random.standard_normal((number, WIDTH)).astype(np.float32)
        points = centres[random.choice(2000, number)] + 0.8 * noise
        return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), np.float32)

    return around(count), around(1000)


def counter(model: str | None) -> Count:
    if model is None:
        return estimate_tokens
    from homezoo.formats.gguf_read import GGUFFile
    from homezoo.text.tokenizer import Tokenizer

    with GGUFFile.open(model) as file:
        return Tokenizer.from_metadata(file.metadata).count


def index_files(folder: Path, texts: list[str], path: Path, count: Count) -> dict[str, float]:
    """Files on disk into an index, as `homezoo index add` does it: passages per second."""
    folder.mkdir()
    for start in range(0, len(texts), PER_FILE):
        # one passage a heading, so that passages are those of the list whatever a token is
        parts = [f"# {start + n}\n{text}" for n, text in enumerate(texts[start : start + PER_FILE])]
        (folder / f"{start:07}.md").write_text("\n".join(parts), "utf-8")
    with Index.create(path) as index:
        started, cpu = time.perf_counter(), time.process_time()
        report = Ingest(index, count, 2000).run([str(folder)])
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {
        "passages": report.passages,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "passages_per_second": report.passages / seconds,
        "megabytes": path.stat().st_size / 1e6,
    }


def add_vectors(path: Path, vectors: np.ndarray) -> dict[str, float]:
    """Vectors of their own passages, as an embedder's would be put."""
    with Index.create(path) as index:
        index.set("width", str(WIDTH))
        started = time.perf_counter()
        for start in range(0, len(vectors), 1000):
            part = vectors[start : start + 1000]
            passages = [Passage(0, 1, "x", 1, "", None)] * len(part)
            index.put(str(start), "text", FileState("", 0, 0), passages, part)
            index.commit()
        return {"seconds": time.perf_counter() - started, "megabytes": path.stat().st_size / 1e6}


def p50(seconds: list[float]) -> float:
    return round(1e3 * statistics.median(seconds), 2)


def p95(seconds: list[float]) -> float:
    return round(1e3 * float(np.percentile(seconds, 95)), 2)


def timed(call: Any, *arguments: Any) -> tuple[float, float, Any]:
    """Seconds by the clock, seconds of the processor (of all threads), and the answer."""
    started, cpu = time.perf_counter(), time.process_time()
    answer = call(*arguments)
    return time.perf_counter() - started, time.process_time() - cpu, answer


def measure(folder: Path, options: argparse.Namespace, peer: Worker | None) -> dict[str, Any]:
    random = np.random.default_rng(0)
    texts, queries = make_texts(options.passages, random)
    vectors, asked = make_vectors(options.passages, random)
    result: dict[str, Any] = {"machine": describe_machine(), "sqlite": sqlite3.sqlite_version}
    result["indexing"] = index_files(
        folder / "docs", texts, folder / "words.sqlite", counter(options.tokenizer)
    )
    result["vectors"] = add_vectors(folder / "vectors.sqlite", vectors)
    if peer is not None:
        (folder / "texts.txt").write_text("\n".join(texts), "utf-8")
        np.save(folder / "vectors.npy", vectors)
        np.save(folder / "asked.npy", asked)
        result["peer"] = peer.ask("version") | peer.ask(
            "build", folder=str(folder / "lance"), texts=str(folder / "texts.txt"),
            vectors=str(folder / "vectors.npy"),
        )  # fmt: skip
    with Index.open(folder / "words.sqlite") as one, Index.open(folder / "vectors.sqlite") as two:
        by_words, by_vectors = Searcher(one), Searcher(two, threads=options.threads)
        result["load_vectors_seconds"] = timed(by_vectors.by_vectors, asked[-1], TOP)[0]
        result |= query(options, by_words, by_vectors, queries, vectors, asked, peer, folder)
    return result


def query(
    options: argparse.Namespace,
    by_words: Searcher,
    by_vectors: Searcher,
    queries: list[str],
    vectors: np.ndarray,
    asked: np.ndarray,
    peer: Worker | None,
    folder: Path,
) -> dict[str, Any]:
    """Blocks of queries of each side in turn."""
    times: dict[str, list[float]] = defaultdict(list)
    right = {"ours": 0, "peer": 0}
    for block in range(options.rounds):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        for text in queries[part]:
            seconds, cpu, _ = timed(by_words.search, text, TOP, "bm25")
            times["words"].append(seconds)
            times["words, processor"].append(cpu)
        if peer is not None:
            times["peer words"] += peer.ask("words", queries=queries[part], top=TOP)
        exact = [set(np.argsort(-(vectors @ q))[:TOP].tolist()) for q in asked[part]]
        for q, expected in zip(asked[part], exact, strict=True):
            seconds, cpu, found = timed(by_vectors.by_vectors, q, TOP)
            times["vectors"].append(seconds)
            times["vectors, processor"].append(cpu)
            right["ours"] += len(expected & {passage - 1 for passage, _ in found})
        if peer is not None:
            told = peer.ask(
                "vectors", path=str(folder / "asked.npy"), start=part.start, stop=part.stop, top=TOP
            )
            times["peer vectors"] += told["seconds"]
            for ids, expected in zip(told["ids"], exact, strict=True):
                right["peer"] += len(expected & set(ids))
    asked_most = options.rounds * BLOCK * TOP
    shown = {f"{name} ms": {"p50": p50(s), "p95": p95(s)} for name, s in times.items() if s}
    return shown | {f"recall@10 {side}": count / asked_most for side, count in right.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2, help="of our vector scan")
    parser.add_argument("--tokenizer", metavar="MODEL", help="count tokens as this model does")
    parser.add_argument("--peer", metavar="PYTHON", help="a Python that has lancedb")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.peer:
            with Worker(options.peer, "lancedb_worker.py") as peer:
                result = measure(Path(name), options, peer)
        else:
            result = measure(Path(name), options, None)
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
