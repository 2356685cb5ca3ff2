"""Writes every fact into several layers together (MEMIT, Meng et al. 2022, algorithm 1).

The residuals are those of the last layer. Each layer in turn takes its share of what is still
missing there, with keys that are read anew while the layers before it are already changed. So the
adapter depends on the set of facts alone, as with one layer, but is solved from readings.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Items
from dataclasses import replace
from typing import Any

import numpy as np

from homezoo.edit.build import protected_history, solve_units
from homezoo.edit.fact_record import Unit, unit_id
from homezoo.edit.facts import Fact
from homezoo.edit.plans import plan_facts
from homezoo.edit.profile import Measured, Profile
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.sites import Plan
from homezoo.edit.solve import Update, regular, solve


def updates_of(
    reader: Reader,
    facts: Items[Fact],
    units: Items[Unit],
    measured: Measured,
    relations: Relations,
) -> dict[int, Update]:
    """The update of each layer for these facts and their units, as the profile wants it."""
    profile, edited = measured.profile, [fact.key for fact in facts]
    if not profile.spread or not units:
        return solve_units(units, measured, edited)
    plans = plan_facts(reader, facts, profile, relations)[max(profile.layers)]
    held = {unit.id: unit for unit in units}
    ids = [unit_id(p.id, site.place, profile.units_id) for p in plans for site in p.sites]
    order = np.argsort(ids)  # rows of an update are units in order of their ids
    residuals = np.stack([held[id].residual for id in ids]).astype(np.float64)[order]
    residuals *= profile.gain
    layers = sorted(profile.layers)
    changed: dict[str, tuple[Any, Any]] = {}
    updates: dict[int, Update] = {}
    before: np.ndarray | None = None
    for number, layer in enumerate(layers):
        keys, states = read_units(reader, plans, layer, layers[-1], changed)
        keys, states = keys[order], states[order]
        before = states if before is None else before
        missing = (residuals - (states - before)) / (len(layers) - number)
        update = solve(
            keys, missing, regular(measured.covariances[layer]), profile.strength, profile.method,
            protected_history(measured, layer, edited), overwrite=True,
        )  # fmt: skip
        updates[layer] = update
        changed[reader.weight(layer)] = _tensors(update)
    return updates


def in_every_layer(units: Items[Unit], profile: Profile) -> list[Unit]:
    """The units as each layer's update holds them: when facts are spread, all in every layer."""
    if not profile.spread:
        return list(units)
    return [replace(unit, layer=layer) for layer in profile.layers for unit in units]


def read_units(
    reader: Reader,
    plans: Items[Plan],
    layer: int,
    last: int,
    changed: Mapping[str, tuple[Any, Any]],
) -> tuple[np.ndarray, np.ndarray]:
    """Keys [U, K] at a layer and states [U, D] after the last, with deltas in place; float64."""
    from homezoo.edit.passes import first_pass
    from homezoo.edit.problem import mean_of_contexts
    from homezoo.edit.targets import grouped

    weight = reader.weight(layer)
    keys: list[np.ndarray] = []
    states: list[np.ndarray] = []
    for group in grouped(reader, plans):
        paths = [path for plan in group for path in plan.paths]
        seen = first_pass(
            reader.model, [path.tokens for path in paths], reader.products, watched=[weight],
            states=[last + 1], stop=last + 1, changed=changed,
        )  # fmt: skip
        rows, units, bare = [], [], []
        sequence = first = 0
        for plan in group:
            for path in plan.paths:
                rows += [seen.row(sequence, position) for position, _ in path.written]
                units += [first + unit for _, unit in path.written]
                bare += [path.context == 0] * len(path.written)
                sequence += 1
            first += len(plan.sites)
        for found, values in ((keys, seen.inputs[weight]), (states, seen.states[last + 1])):
            some = values[rows].numpy()
            found.append(mean_of_contexts(some, np.array(units), np.array(bare), first))
    return np.concatenate(keys).astype(np.float64), np.concatenate(states).astype(np.float64)


def _tensors(update: Update) -> tuple[Any, Any]:
    import torch

    return torch.from_numpy(update.a.astype(np.float32)), torch.from_numpy(
        update.b.astype(np.float32)
    )
