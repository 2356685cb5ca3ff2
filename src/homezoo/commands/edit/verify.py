"""`homezoo edit verify`: what the edits of an adapter did and what they broke."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from homezoo.commands.edit.options import (
    LedgerArgument,
    ProfileOption,
    open_reader,
    profile_of,
    relations_of,
    stages,
)
from homezoo.commands.options import JsonOption, ModelArgument, ThreadsOption
from homezoo.commands.terminal import clean, note
from homezoo.edit.build import relative_sizes
from homezoo.edit.canaries import broken_by
from homezoo.edit.complete import check_base
from homezoo.edit.grade import grade, make_cases
from homezoo.edit.intervals import Rate
from homezoo.edit.ledger import Ledger
from homezoo.edit.picture import picture
from homezoo.edit.report import lines_of, page
from homezoo.edit.texts import measure_texts
from homezoo.errors import EditError
from homezoo.formats.adapter_file import read_adapter

DETAILS = (
    "Everything is asked of the finished model, in greedy answers, with 95 % intervals by Wilson's "
    "formula. Exit status 1 when the canaries of the profile are broken, with --strict also when "
    "an edited fact is not answered."
)

AdapterArgument = Annotated[
    Path, typer.Argument(metavar="ADAPTER", help="what `homezoo edit build` wrote")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="every edited fact must be answered")]
ReportOption = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE.html", help="write a page with a picture as well"),
]
TextsOption = Annotated[
    int,
    typer.Option("--texts", help="texts of 100 tokens to measure fluency on; 0 for none", min=0),
]


def command(
    model: ModelArgument,
    adapter: AdapterArgument,
    ledger: LedgerArgument,
    profile: ProfileOption = None,
    strict: StrictOption = False,
    report: ReportOption = None,
    texts: TextsOption = 10,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints the figures by measure and by relation."""
    read = read_adapter(adapter)
    with Ledger.open(ledger) as opened, open_reader(model, threads) as reader, stages() as tell:
        check_base(opened, reader)
        if read.metadata.get("homezoo.edit.ledger") != opened.digest():
            raise EditError(f"{adapter} was not built from what {ledger} holds now; build it again")
        measured, relations = profile_of(reader, profile), relations_of(None, opened)
        edits = [entry.fact for entry in opened.active()]
        deltas = {name: (a * read.scale_of(name), b) for name, (a, b) in read.deltas.items()}
        cases = make_cases(edits, measured.known, relations, measured.profile.templates)
        tell("asking", 0, len(cases))
        grades = grade(reader, deltas, cases, measured.text)
        tell("asking", len(cases), len(cases))
        sizes = relative_sizes(deltas, reader.file.tensors)
        tell("texts", 0, texts)
        written = measure_texts(reader, deltas, edits, measured.known, relations, texts,
                                measured.profile.templates)  # fmt: skip
        tell("texts", texts, texts)
    broken = broken_by(grades)
    if as_json:
        print(json.dumps({
            "measures": {n: asdict(r) | {"value": r.value, "interval": r.interval}
                         for n, r in grades.rates.items()},
            "relations": {p: {n: asdict(r) for n, r in rates.items()}
                          for p, rates in grades.by_relation.items()},
            "drift": asdict(grades.drift) if grades.drift else None,
            "score": grades.score, "broken": broken, "sizes": sizes,
            "texts": asdict(written) if written else None,
            "suppressed": [asdict(row) for row in grades.suppressed],
        }))  # fmt: skip
    else:
        print(clean("\n".join(lines_of(grades, written, sizes))))
    if report is not None:
        title = f"{adapter.name} on {Path(model).name}"
        report.write_text(page(title, grades, picture(grades), written, sizes), "utf-8")
        note(f"report: {report}")
    if broken:
        note(f"broken: {'; '.join(broken)}")
    asked = grades.rates.get("efficacy", Rate(0, 0))  # none when no fact is active
    unanswered = asked.hits < asked.total
    if broken or (strict and unanswered):
        raise typer.Exit(1)
