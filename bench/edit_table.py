"""The acceptance table of edits: how well they are written, and what they break, by capacity.

Run: python bench/edit_table.py FOLDERS_OF_edit_train... [--counts 1 10 100] [--mixes F32 Q4_0]
Each folder has a model trained with another seed; a row is the mean over them, each with a sample
of facts of its own. λ, the protection of known facts and the gain are chosen as `homezoo edit
profile` does, for the row's number of facts, unless --settings fixes them.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from edit_bench import Bench, describe, file_of, fixed_by, head, show

from homezoo.edit.build import WARN_CAPACITY, capacity, deltas_of, make_adapter, solve_units
from homezoo.edit.fact_record import Unit
from homezoo.edit.facts import Fact
from homezoo.edit.fit import with_settings
from homezoo.edit.profile import Measured
from homezoo.edit.sweep import sweep
from homezoo.edit.targets import SearchSettings
from homezoo.edit.wishes import Wishes
from homezoo.errors import EditError
from homezoo.formats.adapter_file import read_adapter, write_adapter
from homezoo.formats.block_types import BlockType

SINGLES = 50  # trials of one edit
FEWEST_PLANNED = 10  # λ of a single edit is that of so many


def chosen(bench: Bench, count: int) -> Measured:
    """The profile with what its own trial edits choose for `count` facts."""
    planned = max(count, FEWEST_PLANNED)
    return sweep(bench.reader, bench.measured, bench.relations, Wishes(planned=planned),
                 lambda *_: None)  # fmt: skip


class Row:
    """All models with one number of edits: samples, units, figures."""

    def __init__(self, benches: Sequence[Bench], count: int, samples: int, fixed: dict) -> None:
        self.parts: list[tuple[Bench, Measured, list[Fact], list[Unit]]] = []
        seconds = []
        for number, bench in enumerate(benches):
            measured = with_settings(bench.measured, **fixed) if fixed else chosen(bench, count)
            for sample in range(samples if count > 1 else -(-SINGLES // len(benches))):
                edits = bench.edits(count, number + len(benches) * sample)
                units, each = bench.units(edits, measured)
                self.parts.append((bench, measured, edits, units))
                seconds.append(each)
        self.milliseconds = 1000 * float(np.mean(seconds))
        found = [capacity(units, measured.profile) for _, measured, _, units in self.parts]
        self.rho = float(np.mean([each.rho for each in found]))
        self.refused = ""
        try:
            found[0].check(force=False)
        except EditError as error:
            self.refused = str(error)

    def figures(self, kind: BlockType = BlockType.F32) -> list[list[float]]:
        """Of every sample; the adapter goes through a file of this kind."""
        rows = []
        for bench, measured, edits, units in self.parts:
            updates = solve_units(units, measured, [fact.key for fact in edits])
            deltas = deltas_of(updates, kind.block_size)
            if kind is not BlockType.F32:
                made = make_adapter(
                    updates, measured.profile, bench.reader.identity, "", len(edits),
                    multiple=kind.block_size,
                )  # fmt: skip
                with tempfile.TemporaryDirectory() as place:
                    write_adapter(Path(place) / "edits.gguf", made, kind)
                    deltas = dict(read_adapter(Path(place) / "edits.gguf").deltas)
            rows.append(bench.row(edits, deltas))
        return rows

    @property
    def note(self) -> str:
        """What a build would say, the settings, and the time of a fact."""
        warned = "refused without --force" if self.refused else (
            "warned" if self.rho > WARN_CAPACITY else "")  # fmt: skip
        settings = sorted({(m.profile.strength, m.profile.protected, m.profile.gain)
                           for _, m, _, _ in self.parts})  # fmt: skip
        shown = ", ".join(f"λ {force:g}/{weight:g}·{gain:g}" for force, weight, gain in settings)
        lost = float(np.mean([unit.loss_after for *_, units in self.parts for unit in units]))
        return "; ".join(filter(None, [
            f"ρ {self.rho:.3f}", warned, shown, f"{self.milliseconds:.0f} ms a fact",
            f"loss {lost:.3f}"]))  # fmt: skip


def main() -> None:
    """One row for each base, count and setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--mixes", nargs="+", default=["F32"], help="F32, Q4_0, Q4_K_M ...")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 10, 30, 100, 200])
    parser.add_argument("--samples", type=int, default=1, help="of facts for each model")
    parser.add_argument("--settings", type=json.loads, nargs="+", default=[{}],
                        help="changes of the profile, JSON; without them it chooses")  # fmt: skip
    parser.add_argument(
        "--kinds", nargs="+", default=["F32"], help="of adapter files, too: F16 Q8_0"
    )
    parser.add_argument("--stop", type=float, default=SearchSettings.stop)
    parser.add_argument("--contexts", type=int, default=Wishes.contexts)
    parser.add_argument("--layers", type=int, nargs="+")
    parser.add_argument("--position", choices=["prompt_last", "subject_last"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    wishes = Wishes(strength=100.0, protected=0.0, search=SearchSettings(stop=given.stop),
                    **fixed_by(given))  # fmt: skip
    for mix in given.mixes:
        benches = [Bench(folder, file_of(folder, mix), wishes) for folder in given.folders]
        for bench in benches:
            print(describe(bench))
        head(f"{mix}, facts", "")
        for count in given.counts:
            for changes in given.settings:
                row = Row(benches, count, given.samples, changes)
                for kind in given.kinds:
                    name = f"{count}" + (f", adapter {kind}" if kind != "F32" else "")
                    show(name, row.figures(BlockType[kind]), row.note)


if __name__ == "__main__":
    main()
