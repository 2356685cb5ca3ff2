"""`homezoo compare`: teach a model in every way, ask the same questions, and say which way pays."""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.commands.model_path import find_model
from homezoo.commands.options import ModelArgument, ThreadsOption, read_text
from homezoo.commands.terminal import note
from homezoo.errors import HomezooError, OptionError

DETAILS = (
    "Questions come from the facts of --triples, in the wordings of --relations, or from an --exam "
    "of your own (JSONL with question, answers, teach). --known are facts that the model should "
    "keep. Half of the wordings are never taught. Nothing here is a constant of ours: watts, "
    "prices and calls are yours."
)

TriplesOption = Annotated[
    Path | None, typer.Option("--triples", metavar="FILE", help="facts to teach: .ttl, .nt, .csv")
]
RelationsOption = Annotated[
    Path | None, typer.Option("--relations", metavar="FILE", help="how they are said, in TOML")
]
KnownOption = Annotated[
    Path | None, typer.Option("--known", metavar="FILE", help="facts that should be kept")
]
ExamOption = Annotated[
    Path | None, typer.Option("--exam", metavar="FILE.jsonl", help="your own questions")
]
DocsOption = Annotated[
    Path | None, typer.Option("--docs", metavar="PATH", help="text to teach; questions are made")
]
WaysOption = Annotated[
    str | None, typer.Option(help="which ways, with commas; all without it", show_default=False)
]
CallsOption = Annotated[float, typer.Option(help="calls each day")]
HorizonOption = Annotated[float, typer.Option(help="days that those calls go on")]
WattsOption = Annotated[
    float | None, typer.Option(help="of this machine at work; 7.5 for each thread without it")
]
KwhOption = Annotated[float, typer.Option("--price", help="of a kilowatt-hour")]
TokenPriceOption = Annotated[
    float, typer.Option("--price-per-1k", help="of a hosted model's tokens, instead of electricity")
]
CurrencyOption = Annotated[str, typer.Option(help="a sign for the prices")]
EpochsOption = Annotated[int, typer.Option(help="times that training goes through the lessons")]
RateOption = Annotated[
    float | None, typer.Option("--lr", help="of training; the trainer's without")
]
RankOption = Annotated[int, typer.Option(help="of the trained adapter")]
BudgetOption = Annotated[float | None, typer.Option(help="seconds that training may take at most")]
AccuracyOption = Annotated[
    float | None, typer.Option(help="the accuracy wanted, 0 to 1: the cheapest way that reaches it")
]
TextOption = Annotated[
    Path | None, typer.Option("--text", help="ordinary text, to profile the model for editing")
]
LayersOption = Annotated[str | None, typer.Option(help="layers to edit; measured without it")]
ContextTokensOption = Annotated[int, typer.Option(help="of passages sent with a question")]
FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="keep the index, adapters and ledger there")
]
HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="write the report")]
FiguresOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="write the figures; - prints them")
]


def command(
    model: ModelArgument,
    triples: TriplesOption = None,
    relations: RelationsOption = None,
    known: KnownOption = None,
    exam: ExamOption = None,
    docs: DocsOption = None,
    ways: WaysOption = None,
    calls_per_day: CallsOption = 100.0,
    horizon: HorizonOption = 365.0,
    accuracy: AccuracyOption = None,
    watts: WattsOption = None,
    price: KwhOption = 0.25,
    price_per_1k: TokenPriceOption = 0.0,
    currency: CurrencyOption = "$",
    epochs: EpochsOption = 20,
    lr: RateOption = None,
    rank: RankOption = 16,
    budget: BudgetOption = None,
    text: TextOption = None,
    layers: LayersOption = None,
    context_tokens: ContextTokensOption = 96,
    folder: FolderOption = None,
    html: HtmlOption = None,
    json_file: FiguresOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Prints the table and the finding; progress goes to standard error."""
    from homezoo.compare.prepared import Settings
    from homezoo.ops.cores import available_cores

    cores = threads or available_cores()
    prices = _prices(watts, cores, price, price_per_1k, calls_per_day, horizon, currency)
    path = find_model(model)
    made = _exam(path, triples, relations, known, exam, docs, cores)
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        settings = Settings(
            path, place, cores, context_tokens=context_tokens, epochs=epochs, rate=lr, rank=rank,
            budget=budget, text=read_text(text) if text else "",
            layers=tuple(int(part) for part in layers.split(",")) if layers else None,
        )  # fmt: skip
        found, taught = run(made, settings, ways, prices, accuracy)
    show(found, taught, prices, html, json_file)


def _prices(
    watts: float | None,
    cores: int,
    price: float,
    per_1k: float,
    calls_per_day: float,
    days: float,
    currency: str,
) -> Any:
    from homezoo.compare.outcome import Prices
    from homezoo.train.price import WATTS_PER_THREAD

    if not (calls_per_day > 0 and days > 0):
        raise OptionError(f"--calls-per-day {calls_per_day:g}, --horizon {days:g}: both above 0")
    power = watts if watts is not None else WATTS_PER_THREAD * cores
    return Prices(power, price, per_1k, calls_per_day, days, currency)


def _exam(
    model: Path,
    triples: Path | None,
    relations: Path | None,
    known: Path | None,
    own: Path | None,
    docs: Path | None,
    threads: int,
) -> Any:
    """The exam of what was given; OptionError when that is nothing or several things."""
    from homezoo.compare.exam import exam_of_facts, read_exam, read_facts
    from homezoo.edit.relations import read_relations

    if sum(given is not None for given in (triples, own, docs)) != 1:
        raise OptionError("give one of --triples, --exam and --docs: what is to be taught")
    if own is not None:
        return read_exam(own)
    if docs is not None:
        from homezoo.compare.questions import exam_of_documents

        return exam_of_documents(model, docs, threads, note)
    if relations is None or triples is None:
        raise OptionError("--triples needs --relations, a TOML file that says how facts are said")
    said = read_relations(relations)
    others = read_facts(known, said) if known else []
    return exam_of_facts(read_facts(triples, said), said, others)


def run(exam: Any, settings: Any, chosen: str | None, prices: Any, wanted: float | None) -> Any:
    """Prepares and asks each way; what `as_object` gives, and the priced ways."""
    from homezoo.compare.measure import Measured, measure
    from homezoo.compare.outcome import as_object, priced
    from homezoo.compare.prepared import NOTHING, WAYS, Prepared, closing
    from homezoo.compare.ways import prepare
    from homezoo.run.model import Model

    names = [name.strip() for name in chosen.split(",")] if chosen else list(WAYS)
    unknown = [name for name in names if name not in WAYS]
    if unknown:
        raise OptionError(f"unknown way {unknown[0]!r}; expected some of: {', '.join(WAYS)}")
    names = [name for name in WAYS if name in {NOTHING, *names}]
    made: list[Prepared] = []
    failed: dict[str, str] = {}
    for name in names:
        try:
            made.append(prepare(name, exam, settings, made))
        except HomezooError as error:
            failed[name] = str(error)
            note(f"{name}: {error}")
        else:
            note(f"{name}: ready after {made[-1].seconds + made[-1].profile_seconds:.1f} s")
    with closing(made), Model.open(settings.model, threads=settings.threads) as model:
        measured = []
        for way in made:
            measured.append(measure(model, way, exam))
            if measured[-1].replies:
                note(f"{way.name}: right {measured[-1].accuracy()}")
            else:
                note(f"{way.name}: {measured[-1].failed}")
    measured += [Measured(Prepared(name), failed=reason) for name, reason in failed.items()]
    found = as_object(settings.model, exam, measured, prices, wanted)
    return found, priced(measured, prices)


def show(found: Any, ways: Any, prices: Any, html: Path | None, figures: Path | None) -> None:
    """Writes the files that were asked for, and prints."""
    from homezoo.compare.chart_file import write_whole
    from homezoo.compare.report import answer_of, crossing, write_html

    if html is not None:
        write_whole(html, write_html(found, ways, prices).encode())
    if figures == Path("-"):
        print(json.dumps(found, ensure_ascii=False))
        return
    if figures is not None:
        write_whole(figures, json.dumps(found, ensure_ascii=False, indent=1).encode())
    print_ways(found, prices)
    print()
    for line in found["break_even"]:
        print(crossing(line))
    print("\n" + answer_of(found, prices))
    for path in (html, figures):
        if path is not None:
            print(f"written: {path}")


def print_ways(found: Any, prices: Any) -> None:
    """The table for a terminal."""
    from homezoo.commands.table import print_table
    from homezoo.compare.report import money

    heads = ["way", "taught", "held out", "kept", "prompt tokens", "first token", "once",
             "million calls", "add one", "remove one"]  # fmt: skip
    rows = []
    for way in found["ways"]:
        if "learned" not in way:
            rows.append([way["name"], "not possible: " + way["failed"], *[""] * 8])
            continue
        shares = [way["accuracy"]["taught"], way["accuracy"]["held-out"], way["kept"]]
        rows.append(
            [
                way["name"],
                *("–" if not share["of"] else f"{share['value']:.0%}" for share in shares),
                f"{way['prompt_tokens']:,.0f}",
                f"{1000 * way['first_token_seconds']:,.1f} ms",
                f"{way['once_seconds'] + way['profile_seconds']:,.1f} s",
                prices.currency + money(1e6 * way["per_call"]["value"]),
                f"{way['add_one_seconds']:,.2f} s",
                f"{way['remove_one_seconds']:,.2f} s",
            ]
        )
    print_table(heads, rows, right=range(1, len(heads)))
