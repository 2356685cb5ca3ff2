"""`homezoo fit`: memory, speed, longest context and best quantisation here, beforehand."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from homezoo import __version__
from homezoo.commands.fit_text import print_report
from homezoo.commands.model_path import find_model
from homezoo.commands.options import (
    CacheFormat,
    CacheOption,
    JsonOption,
    MemoryOption,
    ThreadsOption,
    bytes_of,
)
from homezoo.commands.terminal import note
from homezoo.errors import HomezooError, OptionError, UnsupportedError
from homezoo.formats.gguf_outline import Outline
from homezoo.formats.gguf_read import GGUFFile
from homezoo.models.config import ModelConfig
from homezoo.models.footprint import PROGRAM_BYTES, Footprint, footprint
from homezoo.ops.memory import available_memory, memory_limit, usable_memory
from homezoo.run.backend import default_threads
from homezoo.run.opening import choose_context
from homezoo.zoo.fit import (
    Choice,
    best_choice,
    choices_of,
    forecast,
    offered_sizes,
    speeds_of,
    standard_sizes,
)
from homezoo.zoo.hub import Hub, is_repository
from homezoo.zoo.hub_cache import is_offline
from homezoo.zoo.measured import Measured, Overheads, machine_name
from homezoo.zoo.offers import USUAL, Offer, choose, offers_of
from homezoo.zoo.remote_header import read_remote_header
from homezoo.zoo.room import fits_memory

DETAILS = """\
MODEL is a file, a name of `homezoo list`, or OWNER/REPO[:FILE or QUANT] of the hub, of which only
the header is read. Speeds are measured in a few seconds on layers of the same shapes and formats,
and kept for the next time."""

SHORT_PROMPT = 512  # tokens
PROBE_SECONDS = 120  # far more than it takes

FitModel = Annotated[
    str, typer.Argument(metavar="MODEL", help="a file, a name, or OWNER/REPO[:FILE or QUANT]")
]
FitContextOption = Annotated[
    int | None, typer.Option(help="tokens of prompt and answer; without it, as `run` has it", min=1)
]
AgainOption = Annotated[bool, typer.Option("--again", help="measure anew, not as kept")]
RevisionOption = Annotated[str, typer.Option(help="branch, tag or commit, of a repository")]


@dataclass(frozen=True)
class Subject:
    """A model to be judged: an open file, or the header of one on the hub."""

    name: str
    file: GGUFFile | Outline
    weights: int  # bytes of its files
    repository: str | None
    sizes: dict[str, int]  # bytes of the quantisations there are, or could be made


def command(
    model: FitModel,
    context: FitContextOption = None,
    cache: CacheOption = CacheFormat.F16,
    threads: ThreadsOption = None,
    memory: MemoryOption = None,
    revision: RevisionOption = "main",
    again: AgainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Prints what the model will need, or with --json one object."""
    kept = Measured(__version__)
    count = threads or default_threads()
    overheads = None if again else kept.overheads()
    if overheads is None:
        note("measuring this machine, a few seconds ...")
        overheads = _overheads()
        kept.keep_overheads(overheads)
    limit = usable_memory() if memory is None else int(bytes_of(memory) or 0)
    with _subject(model, revision) as subject:
        found = describe(subject, context, cache, count, limit, overheads, kept, again)
        best = found["best_quantisation"]
        if subject.repository and ":" not in model and best not in (None, subject.name):
            better = f"{model}:{best}"
            with _subject(better, revision) as other:
                found = describe(other, context, cache, count, limit, overheads, kept, again)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print_report(found)


def describe(
    subject: Subject,
    context: int | None,
    cache: CacheFormat,
    threads: int,
    limit: int | None,
    overheads: Overheads,
    kept: Measured,
    again: bool = False,
) -> dict[str, Any]:
    """Everything `fit` says, ready for JSON: sizes in bytes, speeds in tokens per second."""
    file = subject.file
    for name, kind in file.unsupported.items():
        raise UnsupportedError(
            f"{subject.name}: tensor {name!r} is in format {kind}, which cannot run; "
            "look for the model in another quantisation, such as Q4_0 or Q4_K_M"
        )
    config = ModelConfig.from_metadata(file.metadata, file.tensors)
    positions = choose_context(config, context)
    plan = footprint(
        file,
        subject.weights,
        positions,
        cache.value,
        program=overheads.program_bytes or PROGRAM_BYTES,
        threads=threads,
    )
    speed, token_seconds = None, None
    if config.causal:
        speeds = speeds_of(file, positions, cache.value, threads, kept, again)
        outside = overheads.token_seconds_after(plan.weights + plan.cache)
        token_seconds = speeds.decode_seconds(0) + outside
        prompts = sorted({min(SHORT_PROMPT, positions), positions})
        speed = [vars(forecast(speeds, outside, prompt, positions)) for prompt in prompts]
    choices = choices_of(subject.sizes, file, plan, limit, token_seconds)
    best, reason = best_choice(choices, min(positions, config.context_length))
    parameters = sum(tensor.rows * tensor.width for tensor in file.tensors.values())
    return {
        "model": subject.name,
        "repository": subject.repository,
        "architecture": config.architecture,
        "parameters": parameters,
        "machine": {"name": machine_name(), "threads": threads},
        "context": positions,
        "trained_context": config.context_length,
        "largest_context": _largest(plan, limit, config.context_length),
        "fits": None if limit is None else plan.total <= limit,
        "memory_bytes": plan.total,
        "memory": _memory(plan, file, subject, positions, cache, limit),
        "prefill_tokens_per_second": speed[-1]["prefill"] if speed else None,
        "decode_tokens_per_second": speed[-1]["decode_full"] if speed else None,
        "speeds": speed,
        "quantisations": [vars(choice) | {"fits": _fits(choice, limit)} for choice in choices],
        "best_quantisation": best.name if best else None,
        "reason": reason,
    }


def _memory(
    plan: Footprint,
    file: GGUFFile | Outline,
    subject: Subject,
    positions: int,
    cache: CacheFormat,
    limit: int | None,
) -> dict[str, Any]:
    """The parts of the total; the cache in the other format too where heads fit it."""
    other = CacheFormat.Q8_0 if cache is CacheFormat.F16 else CacheFormat.F16
    try:
        other_cache = footprint(file, subject.weights, positions, other.value).cache
    except UnsupportedError:
        other_cache = None
    return {
        "weights_bytes": plan.weights,
        "private_bytes": plan.private,
        f"cache_{cache.value}_bytes": plan.cache,
        f"cache_{other.value}_bytes": other_cache,
        "cache": cache.value,
        "buffers_bytes": plan.buffers,
        "tokenizer_bytes": plan.tokenizer,
        "program_bytes": plan.program,
        "limit_bytes": limit,
        "machine_bytes": memory_limit(),
        "available_bytes": available_memory(),
    }


def _largest(plan: Footprint, limit: int | None, trained: int) -> int:
    return trained if limit is None else min(trained, plan.largest_context(limit))


def _fits(choice: Choice, limit: int | None) -> bool | None:
    return None if limit is None else choice.total <= limit


@contextmanager
def _subject(name: str, revision: str) -> Iterator[Subject]:
    """The model of a name: on this machine, or else on the hub."""
    try:
        path = find_model(name)
    except HomezooError:
        repo, _, wanted = name.partition(":")
        if not is_repository(repo) or repo.endswith(".gguf") or is_offline():
            raise
        yield _remote(repo, wanted, revision)
        return
    with GGUFFile.open(path) as file:
        yield Subject(name, file, file.file_bytes, None, standard_sizes(file))


def _remote(repo: str, wanted: str, revision: str) -> Subject:
    hub = Hub()
    repository = hub.repository(repo, revision)
    offers = [offer for offer in offers_of(repository) if offer.quantisation or wanted]
    if not offers:
        raise HomezooError(f"{repo} has no GGUF file of a quantisation; see homezoo pull {repo}")
    offer = choose(offers, wanted, repo) if wanted else _first(offers)
    note(f"reading the header of {offer.files[0].name} ...")
    outline = read_remote_header(hub, repository, offer)
    return Subject(offer.name, outline, offer.size, repo, offered_sizes(offers))


def _first(offers: list[Offer]) -> Offer:
    """What to look at where none is named: the usual one, or the largest that seems to fit."""
    for offer in offers:
        if offer.quantisation == USUAL:
            return offer
    fitting = [offer for offer in offers if fits_memory(offer.size) is not False]
    return (fitting or offers[:1])[-1]


def _overheads() -> Overheads:
    """Of a process of its own, so that nothing this one has loaded counts."""
    called = [sys.executable, "-m", "homezoo.commands.probe"]
    result = subprocess.run(
        called, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
    )
    try:
        return Overheads(**json.loads(result.stdout))
    except (ValueError, TypeError):
        if result.returncode:
            raise OptionError(
                f"this machine cannot be measured: {result.stderr.strip()[-200:]}"
            ) from None
        raise
