"""`homezoo quantize`: a smaller file of a model, and what that costs in quality."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.commands.convert import progress_bar
from homezoo.commands.model_path import find_model
from homezoo.commands.options import JsonOption, read_text
from homezoo.commands.terminal import clean, note
from homezoo.formats.gguf_read import GGUFFile
from homezoo.run.model import Model
from homezoo.zoo import calibrate
from homezoo.zoo.quantize import Quantisation, quantize_file
from homezoo.zoo.report import Quality, measure

DETAILS = (
    "The mixes give each tensor the format that llama.cpp's rules give it. With --calibration, "
    "rounding keeps the error of each layer's output small on that text instead of the error of "
    "its weights; the file's format stays the same, so every program gains. --report needs another "
    "text than the calibration's."
)

SourceArgument = Annotated[
    str, typer.Argument(metavar="IN.gguf", help="a model in F32, F16 or BF16")
]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT.gguf", help="the file to write")]
TypeOption = Annotated[
    str, typer.Option("--type", help="a mix, such as Q4_K_M, Q8_0 or IQ4_XS; see docs/convert.md")
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(metavar="TEXT", help="a UTF-8 text to round for, best 20,000 tokens and more"),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(metavar="TEXT", help="measure the quality on this UTF-8 text afterwards"),
]


def command(
    source: SourceArgument,
    out: OutArgument,
    type: TypeOption,
    calibration: CalibrationOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the file with a progress bar on standard error, then says what it is."""
    out, path = out.expanduser(), find_model(source)
    text = None if calibration is None else read_text(calibration)
    held_out = None if report is None else read_text(report)
    with GGUFFile.open(path) as file, progress_bar() as progress:
        made = quantize_file(file, out, type, text, progress)
    quality = None if held_out is None else _measure(path, out, held_out)
    for line in made.notes:
        note(f"note: {clean(line)}")
    if as_json:
        facts = asdict(made) | {"path": str(out)}
        print(json.dumps(facts | ({"report": asdict(quality)} if quality else {})))
        return
    types = ", ".join(f"{count} {name}" for name, count in made.types.items())
    print(f"{out}: {made.mix}, {made.bytes:,} bytes of tensors ({types})")
    if made.aware:
        print(f"{made.aware} tensors rounded for their output on {calibration}")
    if quality:
        print("\n".join(_table(made, quality)))


def _measure(source: Path, out: Path, text: str) -> Quality:
    with GGUFFile.open(source) as file:
        windows = calibrate.windows(file, text)
    settings: dict[str, Any] = {"context": max(map(len, windows))}
    with Model.open(source, **settings) as first, Model.open(out, **settings) as second:
        return measure(first.engine.logits, second.engine.logits, windows)


def _table(made: Quantisation, quality: Quality) -> list[str]:
    """Lines of a small table: source beside quantised."""
    rows = [
        ("", "source", made.mix),
        ("bytes of tensors", f"{made.source_bytes:,}", f"{made.bytes:,}"),
        ("perplexity", f"{quality.source_perplexity:.4f}", f"{quality.perplexity:.4f}"),
        ("mean KL", "", f"{quality.mean_kl:.6f}"),
        ("KL, 99th percentile", "", f"{quality.worst_kl:.6f}"),
        ("same first choice", "", f"{quality.same_top:.2%}"),
        ("tokens", "", f"{quality.tokens:,}"),
    ]
    return [f"{label:<20}{first:>16}{second:>16}" for label, first, second in rows]
