"""`homezoo edit build`: one adapter, in llama.cpp's format, of a ledger's active facts."""

import json
import time
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
from homezoo.commands.options import JsonOption, ThreadsOption
from homezoo.commands.terminal import note
from homezoo.edit.build import WARN_CAPACITY
from homezoo.edit.canaries import check_canaries
from homezoo.edit.complete import assemble
from homezoo.edit.ledger import Ledger
from homezoo.errors import OptionError
from homezoo.formats.adapter_file import write_adapter
from homezoo.formats.block_types import BlockType

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


def command(
    ledger: LedgerArgument,
    out: OutOption,
    model: BaseOption = None,
    profile: ProfileOption = None,
    force: ForceOption = False,
    dtype: TypeOption = "f32",
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
            held = {u.fact for u in opened.units([e.id for e in opened.active()],
                                                 measured.profile.units_id)}  # fmt: skip
            print(f"{len(facts)} facts are active; keys and residuals of {len(facts) - len(held)} "
                  "are still to be found; nothing was written")  # fmt: skip
            return
        multiple = TYPES[dtype].block_size
        built = assemble(opened, reader, measured, relations, force, multiple, tell)
        adapter, units, found = built.adapter, built.units, built.capacity
        if found.rho > WARN_CAPACITY:
            note(f"warning: {found}: above {WARN_CAPACITY} edits begin to spoil what was known")
        broken = check_canaries(reader, measured, relations, adapter.deltas, facts)
        path = out.with_name(out.name + ".rejected") if broken else out
        write_adapter(path, adapter, TYPES[dtype])
        opened.note("build", f"{path.name}: {len(facts)} facts, {len(units)} units")
    rank = next(iter(adapter.deltas.values()))[0].shape[0]
    size, seconds = path.stat().st_size, time.monotonic() - begun
    if as_json:
        print(json.dumps({"path": str(path), "facts": len(facts), "units": len(units),
                          "rho": found.rho, "rank": rank, "bytes": size, "seconds": seconds,
                          "broken": broken}))  # fmt: skip
    else:
        print(f"{path}: {len(facts)} facts, {found}, rank {rank}, {size:,} bytes, {seconds:.1f} s")
    if broken:
        note(f"rejected: {'; '.join(broken)}")
        raise typer.Exit(1)
