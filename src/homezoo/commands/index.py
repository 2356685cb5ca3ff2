"""`homezoo index`: adds documents, reads changed ones again, tells and checks what there is."""

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.commands.index_models import embedder_of, open_embedder, token_counter
from homezoo.commands.model_path import find_model
from homezoo.commands.options import JsonOption, ThreadsOption
from homezoo.commands.terminal import clean, note
from homezoo.context.index import Index
from homezoo.context.ingest import Ingest, Report
from homezoo.context.passages import DEFAULT_BUDGET, SMALLEST_BUDGET
from homezoo.context.place import index_folder, index_path
from homezoo.errors import IndexFileError, OptionError

DETAILS = (
    "add: read files and folders into the index NAME, which is made when it is new. sync: read "
    "again what changed in them, forget what is gone. info: what there is. check: whether the "
    "file is sound. list: the indexes. remove: delete one."
)


class Action(str, Enum):
    """What to do with an index."""

    ADD = "add"
    SYNC = "sync"
    INFO = "info"
    CHECK = "check"
    LIST = "list"
    REMOVE = "remove"


ActionArgument = Annotated[Action, typer.Argument(help="what to do", show_default=False)]
NameArgument = Annotated[
    str | None,
    typer.Argument(help="the index: a name, or the path of a .sqlite file", show_default=False),
]
PathsArgument = Annotated[
    list[Path] | None, typer.Argument(help="with add: files and folders", show_default=False)
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="count tokens as this model does; else 3 bytes are a token", metavar="MODEL"),
]
BudgetOption = Annotated[
    int | None, typer.Option(help=f"most tokens of a passage; {DEFAULT_BUDGET} for a new index")
]
EmbedderOption = Annotated[
    str | None,
    typer.Option(help="make vectors with this model, best an encoder (BERT)", metavar="MODEL"),
]


def command(
    action: ActionArgument,
    name: NameArgument = None,
    paths: PathsArgument = None,
    model: ModelOption = None,
    budget: BudgetOption = None,
    embedder: EmbedderOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Does one of the actions."""
    chosen = (("--model", model), ("--budget", budget), ("--embedder", embedder))
    _check(action, name, paths, [option for option, value in chosen if value is not None])
    if action is Action.LIST or name is None:
        _list(as_json)
        return
    path = index_path(name)
    if action is Action.ADD:
        _add(path, paths or [], model, budget, embedder, threads, as_json)
    elif action is Action.SYNC:
        with Index.open(path) as index:
            _read(index, index.roots(), threads, as_json)
    elif action is Action.INFO:
        with Index.open(path) as index:
            _info(index, as_json)
    elif action is Action.CHECK:
        with Index.open(path) as index:
            _tell_problems(index, as_json)
    else:
        _remove(path)


def _check(action: Action, name: str | None, paths: list[Path] | None, given: list[str]) -> None:
    if action is not Action.LIST and name is None:
        raise OptionError(f"homezoo index {action.value} needs the NAME of an index")
    if action is Action.ADD and not paths:
        raise OptionError("there is nothing to add; give the paths of files or folders")
    if action is not Action.ADD and (paths or given):
        extra = given[0] if given else str((paths or [])[0])
        raise OptionError(f"{extra} goes with homezoo index add only")


def _add(
    path: Path,
    paths: list[Path],
    model: str | None,
    budget: int | None,
    embedder: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    missing = [str(p) for p in paths if not p.expanduser().exists()]
    if missing:
        raise OptionError(f"there is no {missing[0]}; nothing was added")
    new = not path.is_file()
    size = budget or DEFAULT_BUDGET
    if size < SMALLEST_BUDGET:
        raise OptionError(f"--budget is {size}; expected {SMALLEST_BUDGET} or more")
    if not new and (model or budget or embedder):
        raise OptionError(
            f"{path.stem} exists; its --model, --budget and --embedder are those it was made with. "
            f"For others: homezoo index remove {path.stem}, then add again"
        )
    if new:
        _create(path, model, size, embedder, threads)
    roots = [os.path.abspath(p.expanduser()) for p in paths]
    with Index.open(path) as index:
        for root in roots:
            index.add_root(root)
        index.commit()
        _read(index, roots, threads, as_json)


def _create(
    path: Path, model: str | None, budget: int, embedder: str | None, threads: int | None
) -> None:
    settings = {"budget": str(budget)}
    if model is not None:
        settings["model"] = str(find_model(model).resolve())
    if embedder is not None:
        file = find_model(embedder).resolve()
        with open_embedder(file, threads) as opened:
            settings |= {
                "embedder_path": str(file),
                "embedder": opened.identity,
                "width": str(opened.width),
                "weak": str(int(opened.is_weak)),
            }
            if opened.is_weak:
                note(
                    f"note: {file.name} is a chat model, not an encoder; its vectors tell meanings "
                    "apart weakly. Compare with: homezoo search NAME … --by bm25"
                )
    with Index.create(path) as index:
        for key, value in settings.items():
            index.set(key, value)
        index.commit()


def _read(index: Index, roots: list[str], threads: int | None, as_json: bool) -> None:
    """Reads the roots and tells what became of them."""
    model = index.setting("model")
    count = token_counter(None if model is None else find_model(model))
    budget = int(index.setting("budget") or DEFAULT_BUDGET)
    with ExitStack() as stack:
        embedder = stack.enter_context(embedder_of(index, threads))
        report = Ingest(index, count, budget, embedder, _progress(as_json)).run(roots)
    if as_json:
        told = asdict(report) | {"notes": [{"path": p, "note": n} for p, n in report.notes]}
        print(json.dumps(told, ensure_ascii=False))
        return
    for path, text in report.notes:
        note(f"note: {clean(path)}: {clean(text)}")
    parts = [f"{report.read} read ({report.passages:,} passages)", f"{report.unchanged} unchanged"]
    parts += [f"{report.removed} gone"] if report.removed else []
    parts += [f"{report.skipped} of other kinds left out"] if report.skipped else []
    print("; ".join(parts))


def _progress(as_json: bool) -> Any:
    """A line that is written over, on a terminal only."""
    if as_json or not sys.stderr.isatty():
        return None

    def show(report: Report) -> None:
        sys.stderr.write(f"\r{report.read:,} files, {report.passages:,} passages \r")
        sys.stderr.flush()

    return show


def _info(index: Index, as_json: bool) -> None:
    counts = index.counts()
    entries = list(index.entries())
    noted = [(entry.path, entry.note) for entry in entries if entry.note]
    told: dict[str, Any] = {
        "path": str(index.path),
        "bytes": index.path.stat().st_size,
        **counts,
        "budget": int(index.setting("budget") or 0),
        "tokens_counted_by": index.setting("model"),
        "embedder": index.setting("embedder_path"),
        "weak_vectors": index.setting("weak") == "1",
        "roots": index.roots(),
        "notes": [{"path": path, "note": text} for path, text in noted],
    }
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    counted = told["tokens_counted_by"] or "estimated, 3 bytes each"
    weak = ", a chat model: weak" if told["weak_vectors"] else ""
    lines = {
        "file": f"{index.path} ({told['bytes'] / 1e6:,.1f} MB)",
        "documents": f"{counts['documents']:,}",
        "passages": f"{counts['passages']:,} of at most {told['budget']} tokens ({counted})",
        "vectors": f"{counts['vectors']:,}"
        + (f" by {told['embedder']}{weak}" if told["embedder"] else " (see --embedder)"),
        "added": ", ".join(told["roots"]),
    }
    for head, text in lines.items():
        print(f"{head:<10} {clean(text)}")
    for path, text in noted:
        print(f"note       {clean(path)}: {clean(text)}")


def _tell_problems(index: Index, as_json: bool) -> None:
    found = index.problems()
    if as_json:
        print(json.dumps({"sound": not found, "problems": found}))
    elif not found:
        print("sound")
    if found:
        raise IndexFileError(
            f"{index.path} is damaged: {'; '.join(found[:5])}. Remove it and add again"
        )


def _list(as_json: bool) -> None:
    from homezoo.commands.table import print_table

    rows = []
    folder = index_folder()
    for path in sorted(folder.glob("*.sqlite")) if folder.is_dir() else []:
        with Index.open(path) as index:
            rows.append({"name": path.stem, **index.counts(), "bytes": path.stat().st_size})
    if as_json:
        print(json.dumps(rows))
    elif rows:
        heads = list(rows[0])
        print_table(heads, [[str(row[head]) for head in heads] for row in rows], range(1, 6))
    else:
        print(f"no index yet in {folder}; make one with: homezoo index add NAME PATHS…")


def _remove(path: Path) -> None:
    """Deletes an index; a file that is none stays."""
    with Index.open(path):
        pass
    for ending in ("-wal", "-shm", ""):
        Path(str(path) + ending).unlink(missing_ok=True)
    print(f"removed {path}")
