"""What the tables of edits share: a model with its profile, samples of facts, rows of figures."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from homezoo.commands.edit.options import facts_of
from homezoo.edit.ask import Asker, Pair
from homezoo.edit.build import deltas_of
from homezoo.edit.fact_record import Unit
from homezoo.edit.facts import Fact
from homezoo.edit.fit import fit_profile
from homezoo.edit.grade import Case, grade, make_cases, question
from homezoo.edit.profile import Measured
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations, read_relations
from homezoo.edit.solve import Update
from homezoo.edit.sweep import find_all, trial_edits
from homezoo.edit.wishes import Wishes
from homezoo.formats.gguf_read import GGUFFile
from homezoo.zoo.quantize import quantize_file

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
MODEL = "model.gguf"


class Bench:
    """One model of a folder that edit_train made, its profile, and what is asked of it."""

    def __init__(self, folder: Path, file: str, wishes: Wishes) -> None:
        self.folder, self.path = folder, folder / file
        self.reader = Reader(GGUFFile.open(self.path), threads=1)
        self.relations: Relations = read_relations(folder / "relations.toml")
        self.facts = facts_of(next(folder.glob("graph.*")), self.relations, known_only=True)
        self.text = (folder / "text.txt").read_text("utf-8")
        self.wishes = wishes
        self.measured: Measured = self.profile(wishes)

    def profile(self, wishes: Wishes) -> Measured:
        """Measured anew, so that its cost is known; nothing is kept on disk."""
        return fit_profile(
            self.reader, self.text, self.facts, self.relations, self.folder / "profile", wishes
        )

    def edits(self, count: int, seed: int) -> list[Fact]:
        """Known facts with other objects."""
        return trial_edits(self.measured.known, count, f"seed {seed}")

    def units(self, edits: Sequence[Fact], measured: Measured) -> tuple[list[Unit], float]:
        """Their units, and seconds of this process for each fact."""
        begun = time.process_time()
        units = find_all(self.reader, measured, self.relations, edits)
        return units, (time.process_time() - begun) / len(edits)

    def cases(self, edits: Sequence[Fact]) -> list[Case]:
        """All questions about the edits."""
        return make_cases(edits, self.measured.known, self.relations)

    def row(self, edits: Sequence[Fact], deltas: Mapping[str, Pair]) -> list[float]:
        """The figures of SHOWN, in per cent."""
        return self.figures(deltas, self.cases(edits))

    def figures(self, deltas: Mapping[str, Pair], cases: Sequence[Case]) -> list[float]:
        """Likewise of any cases."""
        grades = grade(self.reader, deltas, cases)
        return [100 * grades.value(name) for name in SHOWN]

    def solved(self, edits: Sequence[Fact], updates: Mapping[int, Update]) -> list[float]:
        """The figures of updates."""
        return self.row(edits, deltas_of(updates))

    def base_accuracy(self) -> float:
        """Share of all facts, in all wordings, that the base answers right."""
        cases = [
            Case("", fact.predicate, fact, fact.prompt(template), fact.objects)
            for fact in self.facts
            for relation in [self.relations.of(fact.predicate)]
            for template in (relation.edit, *relation.paraphrases)
        ]
        replies = Asker(self.reader).ask([question(self.reader, case) for case in cases])
        return float(np.mean([reply.right for reply in replies]))


def file_of(folder: Path, mix: str) -> str:
    """The name of the model's file in this mix; it is made from model.gguf where it is missing."""
    if mix == "F32":
        return MODEL
    name = f"model-{mix}.gguf"
    if not (folder / name).is_file():
        with GGUFFile.open(folder / MODEL) as source:
            quantize_file(source, folder / name, mix)
    return name


def show(name: str, rows: Sequence[Sequence[float]], more: str = "") -> list[float]:
    """Prints the mean of some rows as one of a Markdown table; and gives it."""
    mean = [float(value) for value in np.nanmean(np.array(rows), axis=0)]
    figures = " | ".join(f"{value:.1f}" for value in mean)
    print(f"| {name} | {figures} | {more} |", flush=True)
    return mean


def head(first: str, last: str) -> None:
    """The head of such a table."""
    columns = [first, *SHORT, last]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def describe(bench: Bench) -> str:
    """Where and how a model is edited, and what it knows."""
    profile = bench.measured.profile
    rates = {name: [round(r, 2) for r in found]
             for name, found in profile.measured.get("rates", {}).items()}  # fmt: skip
    known = f"{profile.measured.get('known')} of {profile.measured.get('asked')} known"
    return (f"{bench.path}: all wordings {bench.base_accuracy():.2%}, {known}; "
            f"{profile.position}, layers {profile.layers}, λ {profile.strength:g}, "
            f"known facts {profile.protected:g}; swaps {rates}")  # fmt: skip


def fixed_by(given: Any) -> dict[str, Any]:
    """The wishes that the options of every table have."""
    fixed: dict[str, Any] = {"contexts": given.contexts}
    if given.layers:
        fixed["layers"] = tuple(given.layers)
    if given.position:
        fixed["position"] = given.position
    return fixed
