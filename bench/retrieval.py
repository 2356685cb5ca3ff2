"""How well the right passage is found: Recall@5, MRR and nDCG@10 by words, by vectors and by both.

    python bench/retrieval.py --embedder MINILM.gguf [--budget 200] [--json OUT.json]

The question set is ours: bench/questions.json has questions about this project's own pages, in
other words than the pages use, each with a phrase that stands in the passage that answers it. A
passage is right when it holds the phrase. Questions were written before any figure was seen; one
whose phrase has gone from the pages is named and left out. ± is one standard error over them.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from peer_environment import describe_machine

from homezoo.commands.index_models import open_embedder
from homezoo.context.index import Index
from homezoo.context.ingest import Ingest
from homezoo.context.measure import discounted_gain, recall_at, reciprocal_rank
from homezoo.context.passages import DEFAULT_BUDGET, estimate_tokens
from homezoo.context.search import Searcher

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "docs"]
DEPTH = 50


def flat(text: str) -> str:
    return " ".join(text.split())


def measure(searcher: Searcher, index: Index, ways: list[str]) -> dict[str, Any]:
    texts = dict(index.connection.execute("SELECT id, text FROM passage"))
    asked = json.loads(Path(__file__).with_name("questions.json").read_text("utf-8"))
    known = []
    for case in asked:
        right = {id for id, text in texts.items() if flat(case["right"]) in flat(text)}
        if right:
            known.append((case["question"], right))
        else:
            print(f"left out, no passage has its phrase any more: {case['question']}")
    result: dict[str, Any] = {"questions": len(known), "passages": len(texts)}
    for way in ways:
        rankings = [[h.passage for h in searcher.search(q, DEPTH, way)] for q, _ in known]
        cases = [(ranking, right) for ranking, (_, right) in zip(rankings, known, strict=True)]
        result[way] = {
            "recall@5": summary([recall_at(r, right, 5) for r, right in cases]),
            "found in 5": summary([float(bool(right & set(r[:5]))) for r, right in cases]),
            "MRR": summary([reciprocal_rank(r, right) for r, right in cases]),
            "nDCG@10": summary([discounted_gain(r, right, 10) for r, right in cases]),
        }
    return result


def summary(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):.3f} ± {error:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--embedder", required=True, type=Path)
    parser.add_argument("--budget", type=int, default=DEFAULT_BUDGET)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        open_embedder(options.embedder) as embedder,
        Index.create(Path(folder) / "pages.sqlite") as index,
    ):
        index.set("width", str(embedder.width))
        Ingest(index, estimate_tokens, options.budget, embedder).run([str(p) for p in PAGES])
        result = measure(Searcher(index, embedder.embed_one), index, ["bm25", "vectors", "fused"])
    result = {"machine": describe_machine(), "embedder": options.embedder.name} | result
    print(json.dumps(result, indent=2, ensure_ascii=False))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
