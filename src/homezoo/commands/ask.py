"""`homezoo ask`: a question answered from an index, with citations."""

import json
import sys
import time
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from homezoo.commands.adapters import attach_adapters
from homezoo.commands.model_path import find_model
from homezoo.commands.options import (
    AdapterOption,
    CacheFormat,
    CacheOption,
    ContextOption,
    JsonOption,
    PromptCacheOption,
    ThreadsOption,
    with_generation_options,
)
from homezoo.commands.search import By, ByOption, NameArgument, make_searcher, place_of
from homezoo.commands.terminal import clean, note, warn, write
from homezoo.context.ask import Reply, finish, nothing_found, prepare, start
from homezoo.context.index import Index
from homezoo.context.place import index_path
from homezoo.run.model import Model
from homezoo.run.options import GenerationOptions
from homezoo.run.prompt_store import stored_prompts

DETAILS = (
    "Finds passages, gives the model as many as fit the budget, and names the places that the "
    "answer rests on. What a passage says is never taken for the template's own marks."
)

QuestionArgument = Annotated[str, typer.Argument(help="what to answer", show_default=False)]
ModelOption = Annotated[str, typer.Option(help="the model that answers", metavar="MODEL")]
BudgetOption = Annotated[
    int | None,
    typer.Option("--budget", help="most tokens of passages; else half the context, at most 1,500"),
]
RerankOption = Annotated[
    bool, typer.Option("--rerank", help="let the model itself order the 20 best passages first")
]
ShowOption = Annotated[
    bool, typer.Option("--show-context", help="print what the model is given, to standard error")
]


@with_generation_options
def command(
    name: NameArgument,
    question: QuestionArgument,
    *,
    model: ModelOption,
    by: ByOption = By.AUTO,
    budget: BudgetOption = None,
    rerank: RerankOption = False,
    show_context: ShowOption = False,
    adapter: AdapterOption = None,
    prompt_cache: PromptCacheOption = False,
    threads: ThreadsOption = None,
    context: ContextOption = None,
    cache: CacheOption = CacheFormat.F16,
    as_json: JsonOption = False,
    options: GenerationOptions,
) -> None:
    """Streams the answer, then its places."""
    with ExitStack() as stack:
        index = stack.enter_context(Index.open(index_path(name)))
        searcher = make_searcher(index, stack, by, threads)
        opened = stack.enter_context(
            Model.open(find_model(model), threads=threads, context=context, cache=cache.value)
        )
        attach_adapters(opened, adapter)
        stack.enter_context(stored_prompts(opened, prompt_cache))
        warn(opened.tokenizer.warnings)
        began = time.perf_counter()
        given = prepare(searcher, opened, question, by.value, budget, rerank)
        searched = time.perf_counter() - began
        if show_context:
            note(clean(given.message))
        if not given.hits and not given.left_out:
            reply = nothing_found(given)
            if not as_json:
                print(reply.text)
        else:
            stream = start(opened, given, options)
            if not as_json:
                _show(stream)
            reply = finish(given, stream.answer)
    if as_json:
        print(json.dumps(as_object(reply, searched), ensure_ascii=False))
    else:
        _print_places(reply)


def _show(stream: Any) -> None:
    try:
        for piece in stream:
            write(piece)
    finally:
        write("\n")


def as_object(reply: Reply, search_seconds: float) -> dict[str, Any]:
    """What --json prints."""
    shown: dict[str, Any] = {
        "answer": reply.text,
        "found": reply.found,
        "citations": [
            {
                "number": citation.number,
                "path": citation.hit.path,
                "offsets": [citation.hit.start, citation.hit.end],
                "heading": citation.hit.heading,
                "page": citation.hit.page,
                "cited": citation.cited,
                "text": citation.hit.text,
            }
            for citation in reply.citations
        ],
        "context_tokens": reply.context.tokens,
        "passages_left_out": len(reply.context.left_out),
        "search_seconds": search_seconds,
    }
    if reply.answer is not None:
        timings = reply.answer.timings
        shown |= {
            "prompt_tokens": reply.answer.prompt_tokens,
            "answer_tokens": len(reply.answer.tokens),
            "cached_tokens": reply.answer.cached_tokens,
            "stop_reason": reply.answer.stop_reason,
            "seconds_to_first_token": timings.prefill_seconds,
        }
    return shown


def _print_places(reply: Reply) -> None:
    """The citations; those that the answer does not name itself are called what they are."""
    if not reply.citations:
        return
    named = any(citation.cited for citation in reply.citations)
    print("\nFrom:" if named else "\nThe model named no passage. It was given:")
    for citation in reply.citations:
        print(f"[{citation.number}] {clean(place_of(citation.hit))}")
    left = len(reply.context.left_out)
    if left:
        note(f"[{reply.context.tokens} tokens of passages; {left} more found did not fit --budget]")
    sys.stdout.flush()
