"""`homezoo bench`: prompt and answer tokens per second, load time and memory of a model."""

import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from homezoo.commands.info import show_bytes
from homezoo.commands.model_path import find_model
from homezoo.commands.options import (
    CacheFormat,
    CacheOption,
    DraftOption,
    JsonOption,
    ModelArgument,
    ThreadsOption,
)
from homezoo.errors import OptionError
from homezoo.run.answer import Timings
from homezoo.run.backend import default_threads
from homezoo.run.model import Model
from homezoo.run.options import SPECULATE, GenerationOptions

DETAILS = "Each figure is the median of the repeats; an answer is measured right after its prompt."

PromptOption = Annotated[int, typer.Option(help="tokens of the prompt", min=1)]
GenerateOption = Annotated[int, typer.Option(help="tokens of the answer", min=2)]
SpeculateOption = Annotated[
    str,
    typer.Option(help="guess tokens of the answer ahead", metavar="|".join(SPECULATE)),
]
RepeatsOption = Annotated[int, typer.Option(help="how often to measure", min=1)]


@dataclass(frozen=True)
class Result:
    """What was measured; speeds in tokens per second, medians over the repeats."""

    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    load_seconds: float  # from the path to ready for a prompt, tokenizer included
    private_bytes: int | None  # memory that is not the mapped file; None where it cannot be told
    prompt_tokens: int
    generated_tokens: int
    threads: int
    repeats: int
    prefill_range: tuple[float, float]  # slowest and fastest repeat
    decode_range: tuple[float, float]


def command(
    model: ModelArgument,
    prompt: PromptOption = 512,
    generate: GenerateOption = 64,
    threads: ThreadsOption = None,
    cache: CacheOption = CacheFormat.F16,
    draft: DraftOption = None,
    speculate: SpeculateOption = "off",
    repeats: RepeatsOption = 3,
    as_json: JsonOption = False,
) -> None:
    """Measures, then prints a few lines, or with --json one object."""
    if draft is not None and speculate != "auto":
        raise OptionError("--draft guesses with --speculate auto only; add it")
    options = GenerationOptions(
        temperature=0.0, max_tokens=generate, ignore_end=True, speculate=speculate
    )
    with_draft = None if draft is None else find_model(draft)
    result = measure(find_model(model), prompt, options, threads, cache, repeats, with_draft)
    if as_json:
        print(json.dumps(asdict(result)))
        return
    print(f"threads   {result.threads}")
    print(f"load      {result.load_seconds:.2f} s")
    _print_speed(
        f"prefill   {prompt} tokens", result.prefill_tokens_per_second, result.prefill_range
    )
    _print_speed(
        f"decode    {generate} tokens", result.decode_tokens_per_second, result.decode_range
    )
    memory = "unknown on this system" if result.private_bytes is None else None
    print(f"memory    {memory or show_bytes(result.private_bytes or 0)} beside the mapped file")


def _print_speed(label: str, median: float, between: tuple[float, float]) -> None:
    print(f"{label} at {median:.1f} tokens/s ({between[0]:.1f} to {between[1]:.1f})")


def measure(
    path: Path,
    prompt: int,
    options: GenerationOptions,
    threads: int | None,
    cache: CacheFormat,
    repeats: int,
    draft: Path | None = None,
) -> Result:
    """Opens the model once and times `repeats` prompts of random tokens with their answers."""
    start = time.perf_counter()
    generate = options.max_tokens or 0
    with Model.open(
        path, threads=threads, context=prompt + generate, cache=cache.value, draft=draft
    ) as model:
        model.encode_prompt("ready?")  # builds the encoder, which the first prompt would wait for
        load_seconds = time.perf_counter() - start
        timings = [_time_one(model, prompt, options, seed) for seed in range(repeats)]
        private = private_bytes()
    prefill = [timing.prefill_tokens_per_second for timing in timings]
    decode = [timing.decode_tokens_per_second for timing in timings]
    return Result(
        prefill_tokens_per_second=statistics.median(prefill),
        decode_tokens_per_second=statistics.median(decode),
        load_seconds=load_seconds,
        private_bytes=private,
        prompt_tokens=prompt,
        generated_tokens=generate,
        threads=threads or default_threads(),
        repeats=repeats,
        prefill_range=(min(prefill), max(prefill)),
        decode_range=(min(decode), max(decode)),
    )


def _time_one(model: Model, prompt: int, options: GenerationOptions, seed: int) -> Timings:
    """A prompt of random tokens, so that no computed prefix serves, and its greedy answer."""
    random = np.random.default_rng(seed)
    vocab_size = model.config.vocab_size
    tokens = random.integers(0, vocab_size, prompt).tolist()
    tokens[0] = seed % vocab_size  # each repeat differs from its first token on
    return model.generate(tokens, options).timings


def private_bytes() -> int | None:
    """Memory of this process that no file backs, in bytes; None where the system does not tell.

    Linux: RssAnon of /proc/self/status (proc_pid_status(5)).
    """
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return None
