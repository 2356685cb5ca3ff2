"""`homezoo train`: teach a model from examples, on the very file that runs."""

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import MISSING, asdict, fields
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.commands.model_path import find_model, licences_from
from homezoo.commands.options import JsonOption, ModelArgument, ThreadsOption
from homezoo.commands.terminal import clean, note
from homezoo.errors import OptionError
from homezoo.formats.adapter_origin import UNKNOWN_LICENCE, Licences
from homezoo.train.job import Files, Job, require_torch
from homezoo.train.journal import draw_losses
from homezoo.train.options import TrainingOptions
from homezoo.train.price import PRICE_PER_KWH
from homezoo.train.teach import Outcome, Teaching, teaching
from homezoo.train.trainer import STOPPED, StepReport

DETAILS = (
    "DATA is a file or a folder: Alpaca's JSON, JSONL of chats, of prompts and completions or of "
    "texts, Parquet, plain text. What is learned is written as an adapter beside the untouched "
    "model; with --full, every weight is taught and a whole model written. Ctrl-C saves a "
    "checkpoint, and --resume goes on from it."
)
BAD_SHOWN = 20  # rows; the others are counted
INTERRUPTED = 130


class Engine(str, Enum):
    """What trains."""

    OWN = "own"
    TRL = "trl"


DataArgument = Annotated[Path, typer.Argument(metavar="DATA", help="a file or folder of examples")]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="the file to write", metavar="ADAPTER.gguf")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="say what it would take and cost, and train nothing")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="go on from the checkpoint")]
PlotOption = Annotated[
    Path | None, typer.Option(help="draw the losses (extra: plot)", metavar="FILE.png")
]
LicenceOption = Annotated[
    str | None, typer.Option(help="of the data, to be kept in the adapter", metavar="TEXT")
]
WattsOption = Annotated[
    float | None, typer.Option(help="of this machine at work; 7.5 for each thread without it")
]
PriceOption = Annotated[float, typer.Option(help="of a kilowatt-hour, in dollars")]
EngineOption = Annotated[
    Engine, typer.Option(help="trl: MODEL is a Hugging Face folder, taught by TRL (extra: gpu)")
]
GGUFOption = Annotated[
    Path | None,
    typer.Option("--gguf", help="with trl: the file that the adapter is for", metavar="BASE.gguf"),
]
NF4Option = Annotated[bool, typer.Option("--nf4", help="with trl: the base in 4 bit (QLoRA)")]
_PANEL = "How it is trained"


def with_training_options(command: Callable[..., int]) -> Callable[..., int]:
    """A command with an option for each of TrainingOptions instead of its parameter `options`."""

    def expanded(**arguments: Any) -> int:
        given = {option.name: arguments.pop(option.name) for option in fields(TrainingOptions)}
        return command(**arguments, options=TrainingOptions(**given))

    own = inspect.signature(command).parameters
    kinds = inspect.Parameter.KEYWORD_ONLY
    parameters = [p.replace(kind=kinds) for name, p in own.items() if name != "options"]
    for option in fields(TrainingOptions):
        declared = typer.Option(
            "--" + option.name.replace("_", "-"),
            help=option.metadata["help"],
            rich_help_panel=_PANEL,
            show_default=option.default not in (None, MISSING) and option.default is not False,
        )
        kind: Any = option.type
        parameters.append(
            inspect.Parameter(
                option.name, kinds, default=option.default, annotation=Annotated[kind, declared]
            )
        )
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    expanded.__doc__ = command.__doc__
    return expanded


@with_training_options
def command(
    model: ModelArgument,
    data: DataArgument,
    options: TrainingOptions,
    out: OutOption = None,
    dry_run: DryRunOption = False,
    resume: ResumeOption = False,
    threads: ThreadsOption = None,
    licence: LicenceOption = None,
    plot: PlotOption = None,
    watts: WattsOption = None,
    price: PriceOption = PRICE_PER_KWH,
    engine: EngineOption = Engine.OWN,
    gguf: GGUFOption = None,
    nf4: NF4Option = False,
    as_json: JsonOption = False,
) -> int:
    """Plans, trains with a line a step on standard error, and says what was written."""
    if engine is Engine.TRL:
        from homezoo.commands.train_trl import run_trl

        run_trl(model, data.expanduser(), options, out, gguf, nf4, licence, as_json)
        return 0
    if gguf is not None or nf4:
        raise OptionError("--gguf and --nf4 are of --engine trl")
    path = find_model(model)
    out = _checked_out(out, path, dry_run)
    require_torch()
    with Job(path, data.expanduser(), options) as job:
        stated = licence or job.data.known_licence
        licences = licences_from(path, job.file.metadata, job.data.name, stated)
        _report_data(job, licences)
        with teaching(job, threads) as taught:
            if dry_run:
                _print_estimate(taught.estimate(watts, price), as_json)
                return 0
            _report_plan(taught)
            assert out is not None
            outcome = taught.train(Files(out), _Reporter(), resume, licences)
    if plot is not None:
        draw_losses(Files(out).log, plot)
    _print_outcome(outcome, Files(out), as_json)
    return INTERRUPTED if outcome.ended == STOPPED else 0


def _checked_out(out: Path | None, model: Path, dry_run: bool) -> Path | None:
    """Where to write; OptionError before anything is computed."""
    if out is None:
        if dry_run:
            return None
        raise OptionError("say with -o which file to write, such as -o adapter.gguf")
    out = out.expanduser()
    if out.exists() and out.samefile(model):
        raise OptionError(f"{out} is the model itself, which is never changed; name another file")
    if not out.parent.is_dir():
        raise OptionError(f"the folder {out.parent} does not exist")
    return out


def _report_data(job: Job, licences: Licences) -> None:
    """Bad rows one by one, what is left, and what may be done with what comes of it."""
    for bad in job.bad[:BAD_SHOWN]:
        note(clean(f"not used: {bad.place} {bad.reason}"))
    if len(job.bad) > BAD_SHOWN:
        note(f"not used: {len(job.bad) - BAD_SHOWN} more rows")
    encoded = job.encoded
    held = f", {len(job.held)} held out" if job.held else ""
    unused = f", {len(job.bad)} rows not used" if job.bad else ""
    note(
        f"{job.data.name}: {len(encoded.documents):,} documents{held}{unused}; "
        f"{encoded.tokens:,} tokens, {encoded.labels:,} of them learned (template {job.template})"
    )
    note(clean(_about(licences)))


def _about(licences: Licences) -> str:
    if licences.data == UNKNOWN_LICENCE:
        return "licence of the data: unknown; --licence says which it has"
    if licences.whole == UNKNOWN_LICENCE:
        return f"licence of the data: {licences.data}, of the base: {licences.base}"
    return f"licence of base and data together: {licences.whole}"


def _report_plan(taught: Teaching) -> None:
    memory, options = taught.memory, taught.job.options
    again = memory.layers - memory.kept_layers
    note(
        f"{taught.trained_count:,} parameters learn in {memory.layers} layers; about "
        f"{memory.total / 1e9:.1f} GB of memory, {again} layers computed again in the backward "
        f"pass; {taught.job.steps} steps of {options.batch} × {options.length} tokens, "
        f"{taught.threads} threads"
    )


class _Reporter:
    """A line a step: in a terminal it is written over, in a pipe few are shown."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def __call__(self, step: StepReport) -> None:
        parts = [f"step {step.step}/{step.steps}", f"loss {step.loss:.4f}"]
        if step.validation is not None:
            parts.append(f"validation {step.validation:.4f}")
        parts.append(f"rate {step.rate:.1e}")
        if step.tokens_per_second is not None:
            parts.append(f"{step.tokens_per_second:,.1f} tokens/s")
        if step.seconds_left is not None:
            parts.append(f"{_duration(step.seconds_left)} left")
        line = "  ".join(parts)
        if self._live:
            end = "\n" if step.validation is not None or step.step == step.steps else ""
            sys.stderr.write(f"\r\x1b[K{line}{end}")
            sys.stderr.flush()
        elif step.step <= 5 or step.step % max(1, step.steps // 20) == 0 or step.validation:
            note(line)


def _duration(seconds: float) -> str:
    """In the unit that people would choose."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _print_estimate(estimate: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(estimate))
        return
    memory = estimate["memory"]
    parts = ("weights", "trained", "inputs", "kept", "loss", "process")
    names = ("the file, mapped", "deltas and moments", "inputs of layers", "activations",
             "logits", "Python and PyTorch")  # fmt: skip
    print(
        f"{estimate['steps']:,} steps, {estimate['tokens']:,} tokens, of which "
        f"{estimate['labels']:,} are learned; {estimate['trained_parameters']:,} parameters"
    )
    print(
        f"memory: {memory['total'] / 1e9:.2f} GB ({memory['kept_layers']} of "
        f"{memory['layers']} layers keep their activations)"
    )
    for part, name in zip(parts, names, strict=True):
        print(f"  {name:<22}{memory[part] / 1e9:>8.2f} GB")
    print(
        f"time: {_duration(estimate['seconds'])} at {estimate['tokens_per_second']:,.1f} "
        "tokens/s (measured on one layer)"
    )
    print(
        f"electricity: {estimate['kilowatt_hours']:.3f} kWh at {estimate['watts']:.0f} W, "
        f"${estimate['electricity_dollars']:.2f}"
    )
    for name, cost in estimate["rented"].items():
        print(
            f"rented {name}: {_duration(cost['hours'] * 3600)}, "
            f"${cost['dollars_least']:.2f} to ${cost['dollars_most']:.2f}"
        )


def _print_outcome(outcome: Outcome, files: Files, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(outcome) | {"log": str(files.log)}))
        return
    if outcome.out is None:
        print(
            f"stopped after {outcome.steps} steps; {files.checkpoint} holds them: the same "
            "command with --resume goes on"
        )
        return
    measured = "measured" if outcome.energy_measured else "estimated"
    validation = "" if outcome.validation is None else f", validation {outcome.validation:.4f}"
    ended = f" ({outcome.ended})" if outcome.ended else ""
    print(
        f"{outcome.out}: {outcome.steps} steps{ended}, loss {outcome.loss:.4f}{validation}, "
        f"{outcome.tokens:,} tokens in {_duration(outcome.seconds)} "
        f"({outcome.tokens_per_second:,.1f} tokens/s), {outcome.kilowatt_hours:.4f} kWh {measured}"
    )
    print(f"log: {files.log}")
