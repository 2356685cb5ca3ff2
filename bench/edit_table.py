"""The acceptance table of edits: how well they are written, and what they break, by capacity.

Run: python bench/edit_table.py FOLDER_OF_edit_train [--counts 1 10 30 100] [--seeds 3]
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from homezoo.commands.edit.options import facts_of
from homezoo.edit.build import capacity, deltas_of, solve_units
from homezoo.edit.fact_record import Unit
from homezoo.edit.facts import Fact
from homezoo.edit.fit import Wishes, fit_profile, with_settings
from homezoo.edit.grade import grade, make_cases
from homezoo.edit.profile import Measured
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations, read_relations
from homezoo.edit.solve import Update, regular, solve
from homezoo.edit.sweep import find_all, trial_edits
from homezoo.edit.targets import SearchSettings
from homezoo.formats.gguf_read import GGUFFile

SHOWN = (
    "efficacy",
    "paraphrase",
    "neighbourhood",
    "same subject",
    "retention",
    "efficacy (probability)",
    "paraphrase (probability)",
    "neighbourhood (probability)",
)
SHORT = ("eff", "para", "NEI", "SSR", "RET", "ES", "PS", "NS")


class Bench:
    """One model, its profile, and what is asked of it."""

    def __init__(self, folder: Path, file: str, wishes: Wishes) -> None:
        self.reader = Reader(GGUFFile.open(folder / file), threads=1)
        self.relations: Relations = read_relations(folder / "relations.toml")
        facts = facts_of(next(folder.glob("graph.*")), self.relations, known_only=True)
        text = (folder / "text.txt").read_text("utf-8")
        self.measured: Measured = fit_profile(
            self.reader, text, facts, self.relations, folder / "profile", wishes
        )

    def edits(self, count: int, seed: int) -> list[Fact]:
        """Known facts with other objects."""
        return trial_edits(self.measured.known, count, f"seed {seed}")

    def units(self, edits: Sequence[Fact]) -> tuple[list[Unit], float]:
        """Their units, and seconds of this process for each fact."""
        begun = time.process_time()
        units = find_all(self.reader, self.measured, self.relations, edits)
        return units, (time.process_time() - begun) / len(edits)

    def row(self, edits: Sequence[Fact], updates: dict[int, Update]) -> list[float]:
        """The figures of SHOWN, in per cent."""
        cases = make_cases(edits, self.measured.known, self.relations)
        grades = grade(self.reader, deltas_of(updates), cases)
        return [100 * grades.value(name) for name in SHOWN]


def naive(units: Sequence[Unit], measured: Measured, batches: int) -> dict[int, Update]:
    """Batches solved one after another without history: what collapses."""
    (layer,) = measured.profile.layers
    covariance, parts = regular(measured.covariances[layer]), []
    for part in np.array_split(np.arange(len(units)), batches):
        keys, residuals = (
            np.stack([getattr(units[n], name) for n in part]).astype(np.float64)
            for name in ("key", "residual")
        )
        parts.append(solve(keys, residuals, covariance, measured.profile.strength))
    return {layer: Update(np.vstack([p.a for p in parts]), np.hstack([p.b for p in parts]))}


def show(name: str, rows: list[list[float]], more: str = "") -> None:
    """Mean over seeds, and the spread of the first five."""
    mean = np.nanmean(np.array(rows), axis=0)
    figures = "  ".join(f"{short} {value:5.1f}" for short, value in zip(SHORT, mean, strict=True))
    print(f"{name:<34}{figures}  {more}", flush=True)


def main() -> None:
    """One line for each count and setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--file", default="model.gguf")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 10, 30, 100, 200])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--settings", type=json.loads, nargs="+", default=[{}],
                        help="changes of the profile, JSON")  # fmt: skip
    parser.add_argument("--stop", type=float, default=0.05)
    parser.add_argument("--contexts", type=int, default=2)
    parser.add_argument("--layers", type=int, nargs="+")
    parser.add_argument("--position", choices=["prompt_last", "subject_last"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    fixed: dict[str, Any] = {"layers": tuple(given.layers)} if given.layers else {}
    if given.position:
        fixed["position"] = given.position
    wishes = Wishes(strength=100.0, protected=0.0, contexts=given.contexts,
                    search=SearchSettings(stop=given.stop), **fixed)  # fmt: skip
    bench = Bench(given.folder, given.file, wishes)
    profile = bench.measured.profile
    print(f"{profile.measured}\n{profile.position}, layers {profile.layers}, {profile.contexts}")
    for count in given.counts:
        seeds = range(given.seeds if count > 1 else 8 * given.seeds)
        found = [(edits := bench.edits(count, seed), *bench.units(edits)) for seed in seeds]
        seconds = float(np.mean([s for _, _, s in found]))
        rho = float(np.mean([capacity(u, profile).rho for _, u, _ in found]))
        lost = float(np.mean([u.loss_after for _, us, _ in found for u in us]))
        print(f"n = {count}: ρ {rho:.3f}, {1000 * seconds:.0f} ms of CPU per fact, loss {lost:.3f}")
        for changes in given.settings:
            settings = dict(changes)
            batches = settings.pop("naive", 0)
            measured = with_settings(bench.measured, **settings)
            rows = []
            for edits, units, _ in found:
                keys = [fact.key for fact in edits]
                updates = (naive(units, measured, batches) if batches
                           else solve_units(units, measured, keys))  # fmt: skip
                rows.append(bench.row(edits, updates))
            show(json.dumps(changes), rows)


if __name__ == "__main__":
    main()
