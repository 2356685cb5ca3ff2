"""`homezoo search`: passages of an index that fit a question."""

import json
from contextlib import ExitStack
from enum import Enum
from typing import Annotated, Any

import typer

from homezoo.commands.index_models import embedder_of
from homezoo.commands.options import JsonOption, ThreadsOption
from homezoo.commands.terminal import clean
from homezoo.context.index import Index
from homezoo.context.place import index_path
from homezoo.context.search import Hit, Searcher

DETAILS = "By words (BM25), by vectors where the index has them, or by both, their ranks fused."


class By(str, Enum):
    """How to search."""

    AUTO = "auto"
    BM25 = "bm25"
    VECTORS = "vectors"
    FUSED = "fused"


NameArgument = Annotated[
    str, typer.Argument(help="the index: a name, or the path of a .sqlite file", show_default=False)
]
QueryArgument = Annotated[str, typer.Argument(help="what to look for", show_default=False)]
TopOption = Annotated[int, typer.Option(help="passages to show")]
ByOption = Annotated[By, typer.Option(help="how to search; auto is fused where there are vectors")]


def command(
    name: NameArgument,
    query: QueryArgument,
    top: TopOption = 5,
    by: ByOption = By.AUTO,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints the best passages with their places."""
    with ExitStack() as stack:
        index = stack.enter_context(Index.open(index_path(name)))
        searcher = make_searcher(index, stack, by, threads)
        hits = searcher.search(query, top, by.value)
    if as_json:
        print(json.dumps([as_object(hit) for hit in hits], ensure_ascii=False))
        return
    if not hits:
        print("nothing found")
    for number, hit in enumerate(hits, 1):
        print(f"{number}. {clean(place_of(hit))}")
        print(_indented(hit.text))


def make_searcher(index: Index, stack: ExitStack, by: By, threads: int | None) -> Searcher:
    """A searcher with the index's embedder, open as long as the stack, unless words alone do."""
    embedder = None if by is By.BM25 else stack.enter_context(embedder_of(index, threads))
    return Searcher(index, None if embedder is None else embedder.embed_one, threads or 1)


def as_object(hit: Hit) -> dict[str, Any]:
    """What --json prints of a passage."""
    return {
        "path": hit.path,
        "offsets": [hit.start, hit.end],
        "heading": hit.heading,
        "page": hit.page,
        "score": hit.score,
        "ranks": hit.ranks,
        "tokens": hit.tokens,
        "text": hit.text,
    }


def place_of(hit: Hit) -> str:
    """`notes.md, characters 120 to 480, Care > Food, page 3`."""
    parts = [hit.path, f"characters {hit.start:,} to {hit.end:,}"]
    parts += [hit.heading] if hit.heading else []
    parts += [f"page {hit.page}"] if hit.page is not None else []
    return ", ".join(parts)


def _indented(text: str) -> str:
    return "".join(f"   {line}\n" for line in clean(text).splitlines())
