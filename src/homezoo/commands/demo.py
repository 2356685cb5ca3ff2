"""`homezoo demo`: the whole story in minutes, with the model that comes with homezoo."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.commands.compare import print_ways, run
from homezoo.commands.model_path import find_model
from homezoo.commands.options import ThreadsOption
from homezoo.commands.terminal import clean, note

DETAILS = (
    "The zookeeper knows the animals of an invented zoo. Some of them have moved since it was "
    "trained: the demo teaches it that in every way there is, asks the same questions each time, "
    "and writes a report. Training and editing need the extra `train` (PyTorch); without it, "
    "they are left out."
)

FastOption = Annotated[bool, typer.Option("--fast", help="fewer facts: about a minute")]
FolderOption = Annotated[Path, typer.Option("--folder", help="where the report and adapters go")]
TALK = (
    "What does the penguin eat?",
    "Who looks after the panda?",
    "What is the capital of France?",
)
ZOO = Path(__file__).resolve().parent.parent / "bundled" / "zookeeper"
FACTS, FAST_FACTS, FAST_KNOWN = 42, 12, 900
CONTEXT_TOKENS, EPOCHS, RATE = 40, 12, 2e-3  # what a model of four layers can read, and learns with


def command(
    fast: FastOption = False,
    folder: FolderOption = Path("homezoo-demo"),
    threads: ThreadsOption = None,
) -> None:
    """Tells what it does as it goes."""
    from homezoo.ops.cores import available_cores

    begun, cores = time.monotonic(), threads or available_cores()
    model = find_model("zookeeper")
    exam = _exam(fast)
    folder.mkdir(parents=True, exist_ok=True)
    _head("1. Talk to it")
    print("The zookeeper: a language model made by homezoo, small enough to come along.\n")
    _talk(model, cores, TALK)
    _head("2. Something it cannot know")
    lesson = exam.lessons[1]
    question = lesson.pairs[0][0]
    print(f"This week, things changed at the zoo: {len(exam.lessons)} facts are new. One of them:")
    print(f"  {lesson.sentences[0]}\n")
    _talk(model, cores, (question,))
    _head("3. Three ways to teach it")
    print("Put it into the context of every call, train an adapter once, or edit the facts into")
    print("the weights. Each way is asked the same questions, half of them in wordings it was not")
    print("taught with. Kept: what it still knows of other animals.\n")
    found, ways, prices = _compare(model, exam, folder, cores)
    print()
    print_ways(found, prices)
    _head("4. Which one pays?")
    _finding(found, ways, prices, folder)
    print(f"\n{time.monotonic() - begun:.0f} s in all. Try it yourself:\n")
    print("  homezoo chat zookeeper")
    if (folder / "edited.gguf").is_file():
        print(f"  homezoo chat zookeeper --adapter {folder / 'edited.gguf'}")


def _exam(fast: bool) -> Any:
    """The news as an exam; with `fast`, the first of it, and fewer questions about the rest."""
    from homezoo.compare.exam import exam_of_facts, read_facts
    from homezoo.edit.relations import read_relations

    relations = read_relations(ZOO / "relations.toml")
    news = read_facts(ZOO / "news.csv", relations)[: FAST_FACTS if fast else FACTS]
    known = read_facts(ZOO / "known.csv", relations)
    exam = exam_of_facts(news, relations, known, most=60 if fast else 200)
    return replace(exam, known=exam.known[:FAST_KNOWN]) if fast else exam


def _compare(model: Path, exam: Any, folder: Path, cores: int) -> tuple[Any, Any, Any]:
    from homezoo.compare.outcome import Prices
    from homezoo.compare.prepared import BOTH, EDITING, TRAINING, WAYS, Settings
    from homezoo.train.price import PRICE_PER_KWH, WATTS_PER_THREAD

    prices = Prices(WATTS_PER_THREAD * cores, PRICE_PER_KWH)
    settings = Settings(
        model, folder, cores, context_tokens=CONTEXT_TOKENS, epochs=EPOCHS, rate=RATE
    )
    names = list(WAYS)
    try:
        import torch  # noqa: F401
    except ImportError:
        names = [name for name in names if name not in (TRAINING, EDITING, BOTH)]
        note("training and editing need PyTorch: pip install 'homezoo[train]'; left out")
    found, ways = run(exam, settings, ",".join(names), prices, None)
    return found, ways, prices


def _finding(found: Any, ways: Any, prices: Any, folder: Path) -> None:
    from homezoo.compare.chart import cost_chart
    from homezoo.compare.chart_file import write_whole
    from homezoo.compare.chart_text import draw_text
    from homezoo.compare.outcome import teaching
    from homezoo.compare.report import answer_of, crossing, write_html

    crossings = [line for line in found["break_even"] if line["calls"]]
    reach = max([2.0 * line["calls"] for line in crossings], default=prices.calls)
    shown = [way for way in teaching(ways) if way.accuracy and way.accuracy > 0.5]
    print(draw_text(cost_chart(shown, min(reach, 10 * prices.calls), prices.currency)))
    print()
    for line in crossings:
        print(crossing(line))
    print("\n" + answer_of(found, prices))
    report = folder / "report.html"
    write_whole(report, write_html(found, ways, prices).encode())
    write_whole(folder / "report.json", json.dumps(found, ensure_ascii=False, indent=1).encode())
    print(f"\nThe report, with pictures: {report.resolve()}")


def _talk(model: Path, threads: int, questions: Sequence[str]) -> None:
    from homezoo.run.model import Model

    with Model.open(model, threads=threads, context=256) as opened:
        for question in questions:
            messages = [{"role": "user", "content": question}]
            answer = opened.chat(messages, temperature=0.0, max_tokens=40).text.strip()
            print(f"  you        {question}\n  zookeeper  {clean(answer)}\n")


def _head(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\n\033[1;36m{text}\033[0m\n")
    else:
        print(f"\n{text}\n{'-' * len(text)}\n")
