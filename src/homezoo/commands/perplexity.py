"""`homezoo perplexity`: how well a model predicts a text, computed as llama.cpp's tool does it."""

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from homezoo.commands.adapters import attach_adapters
from homezoo.commands.model_path import find_model
from homezoo.commands.options import (
    AdapterOption,
    CacheFormat,
    CacheOption,
    JsonOption,
    ModelArgument,
    ThreadsOption,
    read_text,
)
from homezoo.commands.terminal import warn
from homezoo.errors import ContextError, OptionError
from homezoo.run.model import Model

DETAILS = (
    "The text is cut into windows that do not overlap; in each, the tokens of the second half "
    "count, so that every one is predicted from at least half a window. The first token of a "
    "window is replaced by the one that begins a text, where the model wants it. Figures compare "
    "with llama.cpp's at the same window."
)

WINDOW = 512  # llama.cpp's default, so that published figures compare
SMALLEST_WINDOW = 4  # of fewer tokens nothing is left to predict

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="a UTF-8 text")]
WindowOption = Annotated[
    int | None, typer.Option("--context", help="tokens of a window; 512, or the model's if fewer")
]
ChunksOption = Annotated[
    int | None, typer.Option(help="measure this many windows only; all without it", min=1)
]


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log-likelihood, and its standard error."""

    perplexity: float
    error: float  # one standard deviation, by the delta method
    tokens: int  # that were predicted and counted
    chunks: int
    context: int


def command(
    model: ModelArgument,
    file: FileArgument,
    context: WindowOption = None,
    chunks: ChunksOption = None,
    adapter: AdapterOption = None,
    threads: ThreadsOption = None,
    cache: CacheOption = CacheFormat.F16,
    as_json: JsonOption = False,
) -> None:
    """Measures with a progress bar on standard error, then prints the figure."""
    path, text = find_model(model), read_text(file)
    with Model.open(path, threads=threads, context=context or WINDOW, cache=cache.value) as opened:
        attach_adapters(opened, adapter)
        window = context or min(WINDOW, opened.config.context_length)
        warn(opened.tokenizer.warnings)
        windows = cut(opened, text, window, chunks)
        losses = [second_half_losses(opened, tokens) for tokens in progress(windows)]
    result = estimate(np.concatenate(losses), len(windows), window)
    if as_json:
        print(json.dumps(asdict(result)))
    else:
        print(
            f"perplexity {result.perplexity:.4f} ± {result.error:.4f} "
            f"({result.tokens:,} tokens counted in {result.chunks} windows of {result.context})"
        )


def cut(model: Model, text: str, window: int, most: int | None) -> list[list[int]]:
    """Windows of `window` token ids each; what is left at the end is not measured.

    Raises OptionError for a window too small to halve, ContextError for a text shorter than one.
    """
    if window < SMALLEST_WINDOW:
        raise OptionError(f"a window of {window} tokens; expected at least {SMALLEST_WINDOW}")
    tokenizer = model.tokenizer
    tokens = tokenizer.encode(text, bos=tokenizer.adds_bos)
    count = len(tokens) // window
    if count == 0:
        raise ContextError(
            f"the text has {len(tokens)} tokens and a window {window}; "
            "use a longer text or a smaller --context"
        )
    windows = [tokens[i * window : (i + 1) * window] for i in range(min(count, most or count))]
    if tokenizer.adds_bos and tokenizer.bos_id is not None:
        for tokens_of_window in windows:
            tokens_of_window[0] = tokenizer.bos_id
    return windows


def second_half_losses(model: Model, tokens: list[int]) -> np.ndarray:
    """Negative log-likelihoods of the second half of a window: float64 [W - W//2 - 1]."""
    first = len(tokens) // 2
    targets = np.array(tokens[1:], np.int64)  # [W - 1], what follows each token but the last
    losses, start = [], 0
    for logits in model.engine.logits(tokens):  # [some, V]
        rows = np.arange(start, start + len(logits))  # [some], positions of these logits
        start += len(logits)
        counted = (rows >= first) & (rows < len(targets))
        if counted.any():
            losses.append(negative_log_likelihoods(logits[counted], targets[rows[counted]]))
    return np.concatenate(losses)


def negative_log_likelihoods(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """-log softmax of each row's target: logits float32 [R, V], targets int64 [R], gives [R]."""
    highest = logits.max(axis=1)  # [R]
    total = np.exp(logits - highest[:, None]).sum(axis=1, dtype=np.float64)  # [R]
    chosen = logits[np.arange(len(logits)), targets].astype(np.float64)  # [R]
    return np.asarray(np.log(total) + highest - chosen)


def estimate(losses: np.ndarray, chunks: int, window: int) -> Perplexity:
    """The figure and its standard error from the loss of every counted token, float64 [n]."""
    perplexity = math.exp(losses.mean())
    spread = losses.std(ddof=1) / math.sqrt(len(losses)) if len(losses) > 1 else math.inf
    return Perplexity(perplexity, perplexity * spread, len(losses), chunks, window)


def progress(windows: list[list[int]]) -> Iterator[list[int]]:
    """The windows, with a bar on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield from windows
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(windows, "measuring", console=Console(stderr=True), transient=True)
