"""`homezoo bench`: speed, load time and memory of a model, beside the limits of this machine."""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from homezoo.commands.adapters import attach_adapters
from homezoo.commands.info import show_bytes
from homezoo.commands.model_path import find_model
from homezoo.commands.options import (
    AdapterOption,
    CacheFormat,
    CacheOption,
    DraftOption,
    JsonOption,
    ThreadsOption,
)
from homezoo.errors import OptionError
from homezoo.ops.limits import MachineLimits, measure_limits
from homezoo.ops.memory import private_memory
from homezoo.run.answer import Timings
from homezoo.run.backend import default_threads
from homezoo.run.model import Model
from homezoo.run.options import SPECULATE, GenerationOptions

DETAILS = (
    "Each figure is the median of the repeats; an answer is measured right after its prompt. "
    "Decoding reads every weight once for each token: GB/s and its share of the memory's limit "
    "follow from that. --limits alone, without MODEL, measures this machine."
)

PromptOption = Annotated[int, typer.Option(help="tokens of the prompt", min=1)]
GenerateOption = Annotated[int, typer.Option(help="tokens of the answer", min=2)]
SpeculateOption = Annotated[
    str,
    typer.Option(help="guess tokens of the answer ahead", metavar="|".join(SPECULATE)),
]
RepeatsOption = Annotated[int, typer.Option(help="how often to measure", min=1)]
LimitsOption = Annotated[bool, typer.Option("--limits", help="measure the machine too, 2 seconds")]
ContextsOption = Annotated[
    str | None,
    typer.Option(help="prompt lengths to measure one after another, as 512,2048", metavar="N,N"),
]
BenchModel = Annotated[
    str | None, typer.Argument(metavar="[MODEL]", help="as elsewhere; not needed with --limits")
]


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
    first_token_seconds: float  # from the path to the first token of the answer
    decode_bytes_per_second: float  # weights read while decoding


def command(
    model: BenchModel = None,
    prompt: PromptOption = 512,
    contexts: ContextsOption = None,
    generate: GenerateOption = 64,
    threads: ThreadsOption = None,
    cache: CacheOption = CacheFormat.F16,
    draft: DraftOption = None,
    adapter: AdapterOption = None,
    speculate: SpeculateOption = "off",
    repeats: RepeatsOption = 3,
    limits: LimitsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measures, then prints a few lines, or with --json one object."""
    if model is None and not limits:
        raise OptionError("no MODEL given; name one, or give --limits to measure the machine alone")
    machine = measure_limits(threads) if limits else None
    if model is None:
        _print_machine(machine, as_json)
        return
    if draft is not None and speculate != "auto":
        raise OptionError("--draft guesses with --speculate auto only; add it")
    options = GenerationOptions(
        temperature=0.0, max_tokens=generate, ignore_end=True, speculate=speculate
    )
    with_draft = None if draft is None else find_model(draft)
    path = find_model(model)
    results = [
        measure(path, length, options, threads, cache, repeats, with_draft, adapter)
        for length in (_lengths(contexts) if contexts else [prompt])
    ]
    if as_json:
        print(json.dumps(_as_object(results, machine)))
        return
    _print_machine(machine, False)
    for result in results:
        _print_result(result, machine)


def _lengths(contexts: str) -> list[int]:
    lengths = [int(part) for part in contexts.split(",") if part.strip().isdecimal()]
    if len(lengths) != len(contexts.split(",")) or min(lengths) < 1:
        raise OptionError(f"--contexts is {contexts!r}; expected lengths from 1, as 512,2048")
    return lengths


def _as_object(results: list[Result], machine: MachineLimits | None) -> dict[str, Any]:
    """One result's own keys, with several a list of them beside the last one's."""
    found = asdict(results[-1])
    if len(results) > 1:
        found["contexts"] = [asdict(result) for result in results]
    if machine is not None:
        found["limits"] = asdict(machine)
    return found


def _print_machine(machine: MachineLimits | None, as_json: bool) -> None:
    if machine is None:
        return
    if as_json:
        print(json.dumps(asdict(machine)))
        return
    print(f"kernels   {machine.kernels}, {machine.threads} threads")
    alone = machine.read_bytes_per_second_1_thread / 1e9
    print(f"reads     {machine.read_bytes_per_second / 1e9:.1f} GB/s, {alone:.1f} by 1 thread")
    print(f"int8      {machine.int8_per_second / 1e9:.0f} G multiply-adds/s")
    print(f"fp32      {machine.fp32_per_second / 1e9:.0f} G multiply-adds/s")


def _print_result(result: Result, machine: MachineLimits | None) -> None:
    print(f"threads   {result.threads}")
    print(f"load      {result.load_seconds:.2f} s; first token {result.first_token_seconds:.2f} s")
    _print_speed(
        f"prefill   {result.prompt_tokens} tokens",
        result.prefill_tokens_per_second,
        result.prefill_range,
    )
    _print_speed(
        f"decode    {result.generated_tokens} tokens",
        result.decode_tokens_per_second,
        result.decode_range,
    )
    rate = result.decode_bytes_per_second
    limit = f", {rate / machine.read_bytes_per_second:.0%} of the limit" if machine else ""
    print(f"reading   {rate / 1e9:.1f} GB/s of weights while decoding{limit}")
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
    adapters: Sequence[str] | None = None,
) -> Result:
    """Opens the model once and times `repeats` prompts of random tokens with their answers."""
    start = time.perf_counter()
    generate = options.max_tokens or 0
    with Model.open(
        path, threads=threads, context=prompt + generate, cache=cache.value, draft=draft
    ) as model:
        attach_adapters(model, adapters)
        model.encode_prompt("ready?")  # builds the encoder, which the first prompt would wait for
        load_seconds = time.perf_counter() - start
        timings = [_time_one(model, prompt, options, seed) for seed in range(repeats)]
        private = private_memory()
        weights = _decode_bytes(model)
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
        first_token_seconds=load_seconds + statistics.median(t.prefill_seconds for t in timings),
        decode_bytes_per_second=weights * statistics.median(decode),
    )


def _decode_bytes(model: Model) -> float:
    """Bytes of weights that one token reads: of an embedding table that is no output next to none,
    of a mixture's experts those it chooses, and all of adapters."""
    chosen = model.config.experts_used / max(model.config.experts, 1)
    tied = "output.weight" not in model.tensors
    linears = model.engine.model.linears().values()
    deltas = [delta for linear in linears for delta in linear.deltas]
    return sum(delta.a.nbytes + delta.b.nbytes for delta in deltas) + sum(
        tensor.data.nbytes * (chosen if "_exps." in name else 1)
        for name, tensor in model.tensors.items()
        if tied or name != "token_embd.weight"
    )


def _time_one(model: Model, prompt: int, options: GenerationOptions, seed: int) -> Timings:
    """A prompt of random tokens, so that no computed prefix serves, and its greedy answer."""
    random = np.random.default_rng(seed)
    vocab_size = model.config.vocab_size
    tokens = random.integers(0, vocab_size, prompt).tolist()
    tokens[0] = seed % vocab_size  # each repeat differs from its first token on
    return model.generate(tokens, options).timings
