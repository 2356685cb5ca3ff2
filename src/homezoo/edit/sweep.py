"""Chooses λ, the protection of known facts and the gain by trial edits."""

import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass, replace

import numpy as np

from homezoo.edit.build import Pair, deltas_of
from homezoo.edit.fact_record import Unit, draw_key
from homezoo.edit.facts import Fact
from homezoo.edit.grade import Case, Grades, grade, make_cases
from homezoo.edit.intervals import harmonic_mean
from homezoo.edit.plans import plan_facts
from homezoo.edit.profile import Measured, Profile
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.spread import updates_of
from homezoo.edit.wishes import Wishes

Progress = Callable[[str, int, int], None]
FACTORS = (0.1, 0.3, 1.0)  # λ in units of the planned units
# Weight of all known facts' keys together, in units of the planned units.
PROTECTIONS = (0.0, 0.1, 0.25, 0.6)
GAINS = (1.0, 1.25, 1.5, 2.0, 2.5)
FIRST_GAIN = 1.5  # with which λ and protection are chosen; then the others are tried with them
TIE = 0.002  # of the mean: less is chance
DIGITS = 2  # of what is chosen; more would mean nothing
MOST_SHARE = 0.25  # of the known facts may be used for trial edits
FEWEST_TRIALS, MANY_TRIALS = 4, 40
# Share of a layer's width up to which more facts are tried than planned: they do not meet there,
# and ten are too few to tell settings apart.
APART = 0.02
# Weights times facts, up to which more than MANY_TRIALS are tried: some seconds of work.
TRIAL_WORK = 1e9
# And how much each counts: what was asked to be written comes before what must stay.
MEASURES = {
    "efficacy": 2, "paraphrase": 2, "neighbourhood": 1, "same subject": 1, "retention": 1,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Trial:
    """Trial edits under one profile."""

    score: float
    profile: Profile
    deltas: dict[str, Pair]
    figures: dict[str, float]

    def row(self) -> dict[str, float]:
        """For people: the settings and what they came to."""
        tried = self.profile
        settings = {"strength": tried.strength, "protected": tried.protected, "gain": tried.gain}
        return settings | self.figures


def trial_edits(known: Items[Fact], count: int, salt: str = "trial") -> list[Fact]:
    """Known facts with another object of the same relation each; always the same ones."""
    objects: dict[str, list[str]] = {}
    for fact in known:
        listed = objects.setdefault(fact.predicate, [])
        listed += [target for target in fact.objects if target not in listed]
    found: list[Fact] = []
    for fact in sorted(known, key=lambda fact: draw_key(fact, salt)):
        others = [o for o in sorted(objects[fact.predicate]) if o not in fact.objects]
        if others and len(found) < count:
            drawn = int.from_bytes(draw_key(fact, salt)[:4], "big") % len(others)
            found.append(replace(fact, objects=(others[drawn],), accepted=(), targets=()))
    return found


def find_all(
    reader: Reader, measured: Measured, relations: Relations, facts: Items[Fact]
) -> list[Unit]:
    """Units of facts, without a ledger."""
    from homezoo.edit.targets import find_units

    profile, units = measured.profile, []
    for layer, plans in plan_facts(reader, facts, profile, relations).items():
        for group in find_units(reader, plans, layer, profile.search, profile.units_id):
            units += group
    return units


def sweep(
    reader: Reader, measured: Measured, relations: Relations, wishes: Wishes, tell: Progress
) -> Measured:
    """The profile with the strength, protection and gain that grade best; what is wished stays.

    Best is the weighted harmonic mean of MEASURES. With too few known facts to try on, λ stays as
    it is. As many facts are tried as are planned, since a fuller layer wants other settings, and
    more where they do not meet.
    """
    planned = wishes.planned
    enough = max(planned, min(MANY_TRIALS, int(APART * measured.profile.width)))
    count = min(enough, int(MOST_SHARE * len(measured.known)), _affordable(reader))
    if count < FEWEST_TRIALS:
        return measured
    edits = trial_edits(measured.known, count)
    tell("trial edits", 0, 1)
    begun = time.perf_counter()
    units = find_all(reader, measured, relations, edits)
    seconds = (time.perf_counter() - begun) / count
    cases = make_cases(edits, measured.known, relations, measured.profile.templates)
    # λ of a plan with more facts than can be tried grows with it.
    scale = len(units) * planned / count
    held = sum(len(part.keys) for part in measured.protected.values()) / len(measured.protected)
    lambdas = [_short(factor * scale) for factor in FACTORS]
    lambdas = lambdas if wishes.strength is None else [wishes.strength]
    weights = [_short(share * scale / held) for share in PROTECTIONS]
    weights = weights if wishes.protected is None else [wishes.protected]
    grid = [replace(measured.profile, strength=force, protected=weight)
            for force in lambdas for weight in weights]  # fmt: skip
    trying = _Trying(reader, measured, relations, edits, units, cases)
    chosen, trials = trying.best(grid, wishes.gain, tell)
    rows = [trial.row() for trial in trials]
    found = measured.profile.measured | {"trials": rows, "facts": count,
                                         "seconds_per_fact": seconds}  # fmt: skip
    return replace(measured, profile=replace(chosen.profile, measured=found))


@dataclass(frozen=True, eq=False)
class _Trying:
    """Edits to try under one profile after another."""

    reader: Reader
    measured: Measured
    relations: Relations
    edits: Items[Fact]
    units: Items[Unit]
    cases: Items[Case]

    def best(
        self, profiles: Items[Profile], gain: float | None, tell: Progress
    ) -> tuple[Trial, list[Trial]]:
        """The best of the profiles, all with one gain, then with the best gain; and all trials."""
        first = FIRST_GAIN if gain is None else gain
        rest = [other for other in GAINS if other != first] if gain is None else []
        trials: list[Trial] = []

        def tried(profile: Profile, deltas: dict[str, Pair]) -> Trial:
            trials.append(self.trial(profile, deltas))
            tell("trial edits", len(trials), len(profiles) + len(rest))
            return trials[-1]

        for profile in profiles:
            profile = replace(profile, gain=first)
            tried(profile, self.solved(profile))
        best = choose_protection(trials)
        gains = [best]
        for other in rest:
            profile = replace(best.profile, gain=other)
            # An update of one layer is linear in its residuals.
            deltas = (self.solved(profile) if profile.spread
                      else _longer(best.deltas, other / first))  # fmt: skip
            gains.append(tried(profile, deltas))
        return choose_gain(gains), trials

    def solved(self, profile: Profile) -> dict[str, Pair]:
        """The deltas of the edits."""
        one = replace(self.measured, profile=profile)
        return deltas_of(updates_of(self.reader, self.edits, self.units, one, self.relations))

    def trial(self, profile: Profile, deltas: dict[str, Pair]) -> Trial:
        """What is asked of them, graded."""
        grades = grade(self.reader, deltas, self.cases)
        figures = {name: round(grades.value(name), 4) for name in MEASURES}
        return Trial(overall(grades), profile, deltas, figures)


def _longer(deltas: Mapping[str, Pair], factor: float) -> dict[str, Pair]:
    return {name: (a, b * np.float32(factor)) for name, (a, b) in deltas.items()}


def choose_protection(trials: Items[Trial]) -> Trial:
    """The strongest protection of those that grade best: what was not tried is protected too."""
    return max(_alike(trials), key=lambda trial: (trial.profile.protected, trial.profile.strength))


def choose_gain(trials: Items[Trial]) -> Trial:
    """The middle of the gains that grade best: as far from too little as from too much."""
    alike = sorted(_alike(trials), key=lambda trial: trial.profile.gain)
    return alike[len(alike) // 2]


def _alike(trials: Items[Trial]) -> list[Trial]:
    """Those that grade best, but for chance."""
    most = max(trial.score for trial in trials)
    return [trial for trial in trials if trial.score >= most - TIE]


def overall(grades: Grades) -> float:
    """Weighted harmonic mean of what was measured of MEASURES."""
    names = [name for name in MEASURES if name in grades.rates]
    return harmonic_mean([grades.value(name) for name in names for _ in range(MEASURES[name])])


def _affordable(reader: Reader) -> int:
    """So many trial edits take some seconds on a small model; on a large one MANY_TRIALS do."""
    weights = sum(tensor.rows * tensor.width for tensor in reader.file.tensors.values())
    return max(MANY_TRIALS, int(TRIAL_WORK / weights))


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
