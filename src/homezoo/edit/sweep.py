"""Chooses λ and the protection of known facts by trial edits."""

import time
from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import replace
from typing import Any

from homezoo.edit.build import deltas_of
from homezoo.edit.fact_record import Unit, draw_key
from homezoo.edit.facts import Fact
from homezoo.edit.grade import Grades, grade, make_cases
from homezoo.edit.intervals import harmonic_mean
from homezoo.edit.plans import plan_facts
from homezoo.edit.profile import Measured
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.spread import updates_of

Progress = Callable[[str, int, int], None]
FACTORS = (0.1, 0.3, 1.0)  # λ in units of the planned units
# Weight of all known facts' keys together, in units of the planned units.
PROTECTIONS = (0.0, 0.1, 0.25, 0.6)
DIGITS = 2  # of what is chosen; more would mean nothing
MOST_SHARE = 0.25  # of the known facts may be used for trial edits
FEWEST_TRIALS, MANY_TRIALS = 4, 40
# Weights times facts, up to which more than MANY_TRIALS are tried: some seconds of work.
TRIAL_WORK = 1e9
# And how much each counts: what was asked to be written comes before what must stay.
MEASURES = {"efficacy": 2, "paraphrase": 2, "neighbourhood": 1, "retention": 1}


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
    reader: Reader,
    measured: Measured,
    relations: Relations,
    planned: int,
    strength: float | None,
    protected: float | None,
    tell: Progress,
) -> Measured:
    """The profile with the strength and protection that grade best; what is given stays.

    Best is the weighted harmonic mean of MEASURES. With too few known facts to try on, λ stays as
    it is. As many facts are tried as are planned: a fuller layer wants other settings.
    """
    count = min(planned, int(MOST_SHARE * len(measured.known)), _affordable(reader))
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
    lambdas = [strength] if strength else [_short(factor * scale) for factor in FACTORS]
    weights = [_short(share * scale / held) for share in PROTECTIONS]
    weights = weights if protected is None else [protected]
    trials: list[tuple[float, dict[str, Any], Measured]] = []
    for number, (force, weight) in enumerate((a, b) for a in lambdas for b in weights):
        changed = replace(measured.profile, strength=force, protected=weight)
        candidate = replace(measured, profile=changed)
        updates = updates_of(reader, edits, units, candidate, relations)
        grades = grade(reader, deltas_of(updates), cases)
        figures = {name: round(grades.value(name), 4) for name in MEASURES}
        trials.append((overall(grades), {"strength": force, "protected": weight} | figures,
                       candidate))  # fmt: skip
        tell("trial edits", number + 1, len(lambdas) * len(weights))
    best = max(trials, key=lambda trial: trial[0])[2]
    found = measured.profile.measured | {"trials": [row for _, row, _ in trials], "facts": count,
                                         "seconds_per_fact": seconds}  # fmt: skip
    return replace(best, profile=replace(best.profile, measured=found))


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
