"""Edits beside their rivals: LoRA, fine-tuning, context, and the other editors, in one table.

Run: python bench/edit_rivals.py FOLDERS_OF_edit_train... [--count 100] [--mix F32]
Same facts, same questions, same model for each; rows are means over the folders. What a rival costs
is processor time of one thread, for all facts together.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from edit_bench import Bench, describe, file_of, fixed_by, head, show
from edit_table import chosen
from edit_trained import fine_tuned, local_fine_tuned, lora

from homezoo.edit.ask import Pair
from homezoo.edit.build import deltas_of, solve_units
from homezoo.edit.facts import Fact
from homezoo.edit.fit import with_settings
from homezoo.edit.grade import Case
from homezoo.edit.profile import Measured
from homezoo.edit.solve import Update, regular, solve
from homezoo.edit.targets import SearchSettings
from homezoo.edit.wishes import Wishes
from homezoo.models.linear import Delta

Deltas = dict[str, Pair]
MEMIT = 100.0  # λ where only text is protected
PLAIN = {"strength": MEMIT, "protected": 0.0, "gain": 1.0}  # MEMIT as published
BATCHES = 10
TIMES = 4  # the second row of replay has so many times our time


def ours(bench: Bench, edits: Sequence[Fact], measured: Measured) -> Deltas:
    """The ledger's way, or its variant by the profile's settings."""
    units, _ = bench.units(edits, measured)
    return deltas_of(solve_units(units, measured, [fact.key for fact in edits]))


def sequential(bench: Bench, edits: Sequence[Fact], method: str, batches: int) -> Deltas:
    """Batches one after another, residuals measured on the weights that the last one left.

    Without history, but for AlphaEdit, whose method has one.
    """
    measured = with_settings(bench.measured, method="memit", **PLAIN)
    (layer,) = measured.profile.layers
    linear = bench.reader.model.linears()[f"blk.{layer}.ffn_down"]
    width = bench.reader.model.config.width
    identity = np.eye(width, dtype=np.float32)
    whole = np.zeros((width, measured.profile.width))
    past = np.zeros((0, measured.profile.width))
    for part in np.array_split(np.arange(len(edits)), batches):
        linear.attach(Delta(whole.astype(np.float32), identity, 1.0, "so far"))
        units, _ = bench.units([edits[n] for n in part], measured)
        linear.detach("so far")
        keys = np.stack([unit.key for unit in units]).astype(np.float64)
        residuals = np.stack([unit.residual for unit in units])
        how = "emmet" if method == "rome" and len(units) > 1 else method  # two tokens at once
        update: Update = solve(keys, residuals, regular(measured.covariances[layer]), MEMIT, how,
                               past if method == "alphaedit" else None)  # fmt: skip
        whole += update.dense()
        past = np.vstack([past, keys])
    return {f"blk.{layer}.ffn_down": (whole.astype(np.float32), identity)}


def in_context(bench: Bench, edits: Sequence[Fact], cases: Sequence[Case]) -> list[Case]:
    """The same questions behind a sentence that states a fact: the one that is asked about, or of
    the same subject, else one of the edits in turn."""
    by_key, by_name = {f.key: f for f in edits}, {f.subject: f for f in edits}

    def asked(number: int, case: Case) -> Case:
        fact = by_key.get(case.fact.key) or by_name.get(case.fact.subject)
        fact = fact or edits[number % len(edits)]
        stated = f"{fact.prompt(bench.relations.of(fact.predicate).edit)} {fact.objects[0]} ."
        return replace(case, prompt=f"{stated} {case.prompt}")

    return [asked(number, case) for number, case in enumerate(cases)]


def rivals(bench: Bench, measured: Measured, seconds: float) -> dict[str, Callable]:
    """Name to what gives deltas for edits. `seconds` is what ours took, its profile included."""
    plain = with_settings(measured, **PLAIN)
    draft = with_settings(measured, search=SearchSettings("draft"))

    def by(method: str) -> Callable[[Sequence[Fact]], Deltas]:
        return lambda edits: ours(bench, edits, with_settings(plain, method=method))

    return {
        "MEMIT, text alone protected": by("memit"),
        "LoRA r 8, edits only, to loss 0.02": lambda e: lora(bench, e),
        "LoRA r 8 with replay, our time": lambda e: lora(bench, e, True, seconds),
        f"LoRA r 8 with replay, {TIMES} × our time": lambda e: lora(
            bench, e, True, TIMES * seconds),
        "fine-tuned ffn_down, 60 steps of Adam": lambda e: fine_tuned(bench, e),
        "fine-tuned ffn_down, epochs and early stop": lambda e: local_fine_tuned(bench, e),
        "the same with replay, our time": lambda e: local_fine_tuned(bench, e, True, seconds),
        f"the same with replay, {TIMES} × our time": lambda e: local_fine_tuned(
            bench, e, True, TIMES * seconds),
        f"MEMIT in {BATCHES} batches without history": lambda e: sequential(
            bench, e, "memit", BATCHES),
        "ROME one by one": lambda e: sequential(bench, e, "rome", len(e)),
        "EMMET": by("emmet"),
        "AlphaEdit": by("alphaedit"),
        f"AlphaEdit in {BATCHES} batches": lambda e: sequential(bench, e, "alphaedit", BATCHES),
        "ours, one-step draft": lambda e: ours(bench, e, draft),
    }  # fmt: skip


def main() -> None:
    """One row for each rival."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--mix", default="F32")
    parser.add_argument("--contexts", type=int, default=Wishes.contexts)
    parser.add_argument("--layers", type=int, nargs="+")
    parser.add_argument("--position", choices=["prompt_last", "subject_last"])
    parser.add_argument("--only", nargs="+", default=[""], help="rivals with this in their name")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[list[float]]] = {}
    times: dict[str, list[float]] = {}

    def note(name: str, figures: list[float], took: float) -> None:
        rows.setdefault(name, []).append(figures)
        times.setdefault(name, []).append(took)
        shown = " ".join(f"{value:.1f}" for value in figures)
        print(f"{name}: {shown}, {took:.1f} s", file=sys.stderr, flush=True)

    wishes = Wishes(strength=100.0, protected=0.0, **fixed_by(given))
    for number, folder in enumerate(given.folders):
        begun = time.process_time()
        bench = Bench(folder, file_of(folder, given.mix), wishes)
        measured = chosen(bench, given.count)
        edits = bench.edits(given.count, number)
        deltas = ours(bench, edits, measured)
        seconds = time.process_time() - begun
        cases = bench.cases(edits)
        print(describe(bench), f"our time {seconds:.1f} s", flush=True)
        note("ours", bench.figures(deltas, cases), seconds)
        note("in context, stated before", bench.figures({}, in_context(bench, edits, cases)), 0.0)
        for name, rival in rivals(bench, measured, seconds).items():
            if any(part in name for part in given.only):
                begun = time.process_time()
                deltas = rival(edits)
                took = time.process_time() - begun
                note(name, bench.figures(deltas, cases), took)
    head(f"{given.mix}, {given.count} facts", "processor time")
    for name, found in rows.items():
        show(name, found, f"{np.mean(times[name]):.1f} s")


if __name__ == "__main__":
    main()
