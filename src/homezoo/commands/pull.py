"""`homezoo pull`: shows what a repository of the hub holds, and brings what is chosen of it."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from homezoo.commands.info import show_bytes
from homezoo.commands.options import JsonOption
from homezoo.commands.table import print_table
from homezoo.commands.terminal import clean, note
from homezoo.errors import HubError
from homezoo.zoo.hub import Hub, Repository
from homezoo.zoo.hub_cache import RepositoryFolder, cache_folder, is_offline
from homezoo.zoo.licence import report
from homezoo.zoo.lineage import trace
from homezoo.zoo.offers import USUAL, Offer, choose, offers_of
from homezoo.zoo.pull import Progress, pull
from homezoo.zoo.room import DISK_RESERVE, fits_memory, free_disk

DETAILS = """\
Without `:FILE` or `:QUANT`, and where there is more than one model, it only shows them. A download
that was interrupted continues where it was. The hub is HF_ENDPOINT, the place HF_HOME; a token for
gated repositories comes from HF_TOKEN or `hf auth login`."""

NOTED_SHARE = 0.1  # of a download, between two lines of progress where there is no terminal

NameArgument = Annotated[
    str, typer.Argument(metavar="OWNER/REPO[:FILE]", help="a repository, and what of it to fetch")
]
RevisionOption = Annotated[str, typer.Option(help="branch, tag or commit of the repository")]
ListOption = Annotated[bool, typer.Option("--list", help="only show what there is")]


def command(
    name: NameArgument,
    revision: RevisionOption = "main",
    only_list: ListOption = False,
    as_json: JsonOption = False,
) -> None:
    """Prints what there is, or fetches it and prints the paths."""
    repo, _, wanted = name.partition(":")
    if is_offline() and not only_list:
        return _finish(_on_disk(repo, wanted), name, as_json)
    hub = Hub()
    repository = hub.repository(repo, revision)
    offers = offers_of(repository)
    if not offers:
        raise HubError(f"{repo} has no .gguf and no .safetensors file; look for its GGUF version")
    chosen = choose(offers, wanted, repo) if wanted else offers[0]
    if only_list or (not wanted and len(offers) > 1):
        return _show(repository, [chosen] if wanted else offers, as_json)
    if not as_json:
        _print_terms(repository)
        note(f"{chosen.name}: {show_bytes(chosen.size)}; fits this machine: {_fits_word(chosen)}")
    with _progress(chosen.size) as progress:
        paths = pull(hub, repository, chosen, progress)
    _finish(paths, name, as_json)


def _finish(paths: list[Path], name: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"name": name, "paths": [str(path) for path in paths]}))
        return
    suffix = paths[0].suffix
    print(paths[0] if suffix == ".gguf" else paths[0].parent)


def _on_disk(repo: str, wanted: str) -> list[Path]:
    """What an earlier pull brought, for use without a network."""
    for _, folder in RepositoryFolder(repo).snapshots():
        found = sorted(folder.rglob("*.gguf"))
        matching = [path for path in found if wanted.lower() in path.name.lower()]
        if matching:
            return matching
    raise HubError(f"HF_HUB_OFFLINE is set and {repo} is not in {cache_folder()}; unset it first")


def describe(repository: Repository, offers: list[Offer]) -> dict[str, Any]:
    """A repository's offers, ready for JSON; sizes in bytes."""
    chain = trace({}, repository.card, repository.name)
    return {
        "repository": repository.name,
        "revision": repository.revision,
        "commit": repository.commit,
        "gated": repository.gated,
        "licence": report(chain),
        "offers": [
            {
                "name": offer.name,
                "quantisation": offer.quantisation,
                "bytes": offer.size,
                "fits_memory": fits_memory(offer.size),
                "fits_disk": offer.size + DISK_RESERVE <= free_disk(cache_folder()),
                "files": [{"name": file.name, "bytes": file.size} for file in offer.files],
            }
            for offer in offers
        ],
    }


def _show(repository: Repository, offers: list[Offer], as_json: bool) -> None:
    if as_json:
        print(json.dumps(describe(repository, offers), ensure_ascii=False))
        return
    _print_terms(repository)
    print()
    rows = [
        (
            offer.name,
            offer.quantisation or "-",
            show_bytes(offer.size),
            str(len(offer.files)),
            _fits_word(offer),
        )
        for offer in offers
    ]
    print_table(("NAME", "QUANTISATION", "SIZE", "FILES", "FITS THIS MACHINE"), rows, (2, 3))
    fitting = [offer.name for offer in offers if fits_memory(offer.size) is not False]
    names = fitting or [offer.name for offer in offers]
    example = USUAL if USUAL in names else names[-1]
    note(
        f"nothing was fetched; choose one, as: homezoo pull {repository.name}:{example}\n"
        f"which is best on this machine:   homezoo fit {repository.name}"
    )


def _fits_word(offer: Offer) -> str:
    """Whether weights of this size have room, in words."""
    if offer.size + DISK_RESERVE > free_disk(cache_folder()):
        return "no: the disk is too full"
    fits = fits_memory(offer.size)
    words = {True: "yes", False: "no: more than the memory", None: "unknown memory"}
    return words[fits]


def _print_terms(repository: Repository) -> None:
    """Where it comes from and what it permits, before anything is fetched."""
    found = report(trace({}, repository.card, repository.name))
    for link in found["chain"]:
        stated = link["licence"] or link["stated"] or "licence unknown"
        note(clean(f"{link['role']:<8}{link['name']}: {stated}"))
    uses = ", ".join(f"{use} {answer}" for use, answer in found["permits"].items())
    note(f"permits {uses}")
    for obligation in found["obligations"]:
        note(f"        - {obligation}")
    if repository.gated:
        note("gated   its conditions must be accepted on its page, and HF_TOKEN set")


@contextmanager
def _progress(size: int) -> Iterator[Progress]:
    """A bar in a terminal, a line at each tenth elsewhere; always on standard error."""
    if not sys.stderr.isatty():
        yield _noted()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def advance(name: str, done: int, total: int) -> None:
            if name not in tasks:  # what was there before is no speed
                tasks[name] = bar.add_task(clean(name), total=total, completed=done)
            bar.update(tasks[name], completed=done)

        yield advance


def _noted() -> Callable[[str, int, int], None]:
    last: dict[str, float] = {}
    start = time.monotonic()

    def advance(name: str, done: int, total: int) -> None:
        share = done / total if total else 1.0
        if share - last.get(name, -1.0) >= NOTED_SHARE or (share == 1.0 != last.get(name)):
            last[name] = share
            seconds = time.monotonic() - start
            note(clean(f"{name}: {share:.0%} of {show_bytes(total)} after {seconds:.0f} s"))

    return advance
