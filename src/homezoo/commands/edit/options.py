"""What the words of `homezoo edit` share: their options, and how files become facts."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, cast

import typer

from homezoo.commands.model_path import find_model
from homezoo.commands.terminal import clean, note
from homezoo.edit.facts import Fact, OnConflict, make_facts, read_graph
from homezoo.edit.ledger import Ledger
from homezoo.edit.profile import Measured, load_profile, profile_folder
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations, parse_relations, read_relations
from homezoo.errors import EditError, OptionError
from homezoo.formats.gguf_read import GGUFFile

SECONDS_BETWEEN_LINES = 20.0

LedgerArgument = Annotated[
    Path, typer.Argument(metavar="LEDGER", help="the file that holds the wanted facts")
]
FactsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FACTS", help="a graph: .nt, .csv, .tsv, .json; with rdflib .ttl, .rdf, .jsonld"
    ),
]
RelationsOption = Annotated[
    Path | None,
    typer.Option("--relations", metavar="FILE", help="how each predicate is said, in TOML"),
]
ProfileOption = Annotated[
    Path | None,
    typer.Option("--profile", metavar="FOLDER", help="where the profile is; by the model without"),
]
BaseOption = Annotated[
    str | None, typer.Option("--model", metavar="MODEL", help="the base, where the ledger's moved")
]
QueryOption = Annotated[
    str | None, typer.Option("--query", help="SPARQL over FACTS: SELECT ?s ?p ?o, or CONSTRUCT")
]
LanguageOption = Annotated[str, typer.Option("--language", help="of labels and literals")]
ConflictOption = Annotated[
    str,
    typer.Option("--on-conflict", help="two objects where one may be: error, last, newest or skip"),
]
InverseOption = Annotated[
    bool, typer.Option("--inverse", help="also write what relations say the other way round")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and stop")]


def facts_of(
    path: Path,
    relations: Relations,
    operation: str = "assert",
    query: str | None = None,
    language: str = "en",
    on_conflict: str = "error",
    inverse: bool = False,
    known_only: bool = False,
) -> list[Fact]:
    """The facts of a file; what was left out is said on standard error.

    With `known_only`, triples whose predicate the relation file does not have are left out.
    """
    triples, labels, notes = read_graph(path, query, language)
    if known_only:
        triples = [t for t in triples if t.predicate in relations.known]
    rule = cast(OnConflict, on_conflict)  # make_facts checks it
    facts = make_facts(triples, labels, relations, operation, notes, rule, inverse)
    for line in notes.lines():
        note(f"warning: {clean(line)}")
    if not facts:
        raise OptionError(f"{path} has no facts; it has {len(triples)} triples that are no labels")
    return facts


def relations_of(path: Path | None, ledger: Ledger | None = None) -> Relations:
    """The relation file given, else the one that the ledger keeps, else none."""
    if path is not None:
        return read_relations(path)
    text = ledger.header.get("relations", "") if ledger is not None else ""
    return parse_relations(text, "the ledger's relation file") if text else Relations()


@contextmanager
def open_reader(name: str, threads: int | None) -> Iterator[Reader]:
    """A model for editing."""
    with GGUFFile.open(find_model(name)) as file:
        yield Reader(file, threads)


def header_of(reader: Reader, model: str) -> dict[str, str]:
    """What a ledger keeps of the model that `open_reader` opened: where it is, and what it is."""
    return reader.ledger_header(Path(getattr(reader.file, "path", model)).resolve())


def base_of(ledger: Ledger, given: str | None) -> str:
    """The path of the ledger's base, or the one given; EditError when it is not there."""
    path = given or ledger.header.get("path", "")
    if not path or (given is None and not Path(path).is_file()):
        raise EditError(f"the ledger's base {path or '(none)'} is not there; say where: --model")
    return path


def profile_of(reader: Reader, folder: Path | None) -> Measured:
    """The model's profile; EditError when it is that of another file."""
    measured = load_profile(folder or profile_folder(reader.identity.weights))
    if measured.profile.base != reader.identity.weights:
        raise EditError(
            f"the profile in {folder} is of another model file (hash {measured.profile.base[:12]}, "
            f"this one is {reader.identity.weights[:12]}); measure it: homezoo edit profile"
        )
    return measured


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Shows what is being done, how far it is and how long the rest takes, on standard error."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda name, done, total: bar.update(
                task, description=name, completed=done, total=total
            )
        return
    yield _Lines()


class _Lines:
    """Progress where nobody watches a bar: a line now and then, and at the end of a stage."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._said = time.monotonic()

    def __call__(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        start = self._begun.setdefault(name, now)
        if done >= total:
            note(f"{name}: {total} in {now - start:.1f} s")
        elif done and now - self._said >= SECONDS_BETWEEN_LINES:
            rest = (now - start) / done * (total - done)
            note(f"{name}: {done} of {total}, about {duration(rest)} more")
        else:
            return
        self._said = now


def duration(seconds: float) -> str:
    """For people: 40 s, 12 min, 3.1 h."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "a second"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
