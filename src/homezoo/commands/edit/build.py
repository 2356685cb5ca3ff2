"""`homezoo edit build`: one adapter, in llama.cpp's format, of a ledger's active facts."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from homezoo.commands.edit.options import (
    BaseOption,
    DryRunOption,
    LedgerArgument,
    ProfileOption,
    base_of,
    open_reader,
    profile_of,
    relations_of,
    stages,
)
from homezoo.commands.model_path import find_model, licences_from
from homezoo.commands.options import JsonOption, ThreadsOption
from homezoo.commands.terminal import note
from homezoo.edit.build import WARN_CAPACITY
from homezoo.edit.canaries import check_canaries
from homezoo.edit.complete import Assembled, assemble
from homezoo.edit.ledger import Ledger
from homezoo.edit.plans import owners_of, plan_facts
from homezoo.errors import OptionError
from homezoo.formats.adapter_file import write_adapter
from homezoo.formats.adapter_origin import origin_keys
from homezoo.formats.block_types import BlockType
from homezoo.ops.memory import peak_memory

DETAILS = (
    "Keys and residuals of new facts are found on the base and kept in the ledger; then the active "
    "facts are solved together, so the same facts give the same file in whatever order they came. "
    "When the canaries of the profile are broken, the file is written with `.rejected` after its "
    "name and the exit status is 1."
)

OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="FILE.gguf", help="the adapter")]
# Rounding to F16 loses nothing that can be measured; Q8_0 needs a rank that is a multiple of 32.
TYPES = {"f32": BlockType.F32, "f16": BlockType.F16, "q8_0": BlockType.Q8_0}
TypeOption = Annotated[str, typer.Option(help="numbers of the adapter: f32, f16 or q8_0")]
ForceOption = Annotated[bool, typer.Option("--force", help="also above capacity 0.5")]

CompactOption = Annotated[
    bool,
    typer.Option(
        "--compact", help="lower the rank as far as each fact keeps nine tenths of itself"
    ),
]


def command(
    ledger: LedgerArgument,
    out: OutOption,
    model: BaseOption = None,
    profile: ProfileOption = None,
    force: ForceOption = False,
    dtype: TypeOption = "f32",
    compact: CompactOption = False,
    dry_run: DryRunOption = False,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows progress on standard error, then what was built."""
    begun = time.monotonic()
    if dtype not in TYPES:
        raise OptionError(f"--dtype is {dtype!r}; expected {', '.join(TYPES)}")
    with (
        Ledger.open(ledger) as opened,
        open_reader(base_of(opened, model), threads) as reader,
        stages() as tell,
    ):
        measured = profile_of(reader, profile)
        relations = relations_of(None, opened)
        facts = [entry.fact for entry in opened.active()]
        if dry_run:
            owners = owners_of(plan_facts(reader, facts, measured.profile, relations))
            held = {unit.fact for unit in opened.units(owners, measured.profile.units_id)}
            wanting = sum(len(owners[id]) for id in owners.keys() - held)
            print(f"{len(facts)} facts are active; keys and residuals of {wanting} are still to be "
                  "found; nothing was written")  # fmt: skip
            return
        multiple = TYPES[dtype].block_size
        built = assemble(opened, reader, measured, relations, force, multiple, tell, compact)
        adapter, found = built.adapter, built.capacity
        if found.rho > WARN_CAPACITY:
            note(f"warning: {found}: above {WARN_CAPACITY} edits begin to spoil what was known")
        broken = check_canaries(reader, measured, relations, adapter.deltas, facts)
        path = out.with_name(out.name + ".rejected") if broken else out
        licences = licences_from(find_model(base_of(opened, model)), reader.file.metadata)
        states = {**adapter.metadata, **origin_keys(licences=licences)}
        write_adapter(path, replace(adapter, metadata=states), TYPES[dtype])
        opened.note("build", f"{path.name}: {len(facts)} facts, {len(built.units)} units")
    report(path, built, len(facts), time.monotonic() - begun, broken, as_json)
    if broken:
        note(f"rejected: {'; '.join(broken)}")
        raise typer.Exit(1)


def report(
    path: Path, built: Assembled, facts: int, seconds: float, broken: list[str], as_json: bool
) -> None:
    """Says what was built and what it took."""
    rank = next(iter(built.adapter.deltas.values()))[0].shape[0]
    size, peak = path.stat().st_size, peak_memory()
    if as_json:
        small = built.compacted
        print(json.dumps({
            "path": str(path), "facts": facts, "units": len(built.units),
            "rho": built.capacity.rho, "rank": rank, "bytes": size, "seconds": seconds,
            "spent": asdict(built.spent), "peak": peak, "broken": broken,
            "compacted": small and {"from": small.before, "to": small.after, "error": small.error},
        }))  # fmt: skip
        return
    if not facts:
        print(f"{path}: no fact is active, so it changes nothing; the base answers")
        return
    print(f"{path}: {facts} facts, {built.capacity}, rank {rank}, {size:,} bytes")
    if built.compacted is not None:
        print(built.compacted)
    memory = f", peak memory {peak / 1e6:,.0f} MB" if peak else ""
    print(f"{seconds:.1f} s in all: {built.spent}{memory}")
