"""Spreading over layers, on a small random model: one layer is the plain solution, and several
together change the state after the last as one would.
"""

from dataclasses import replace

import numpy as np
import pytest
from random_models import random_model

from homezoo.edit.build import capacity, explain
from homezoo.edit.facts import Fact
from homezoo.edit.profile import Measured, Profile
from homezoo.edit.reader import Reader
from homezoo.edit.relations import Relations
from homezoo.edit.sites import Path, Plan, Site

torch = pytest.importorskip("torch", reason="PyTorch, the extra `train`, is not installed")
from homezoo.edit import spread  # noqa: E402
from homezoo.edit.build import solve_units  # noqa: E402
from homezoo.edit.targets import SearchSettings, find_units  # noqa: E402

FACTS = [Fact(f"a:{n}", "a:p", str(n), ("x",)) for n in range(3)]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(random_model(layers=3, feed_forward=64), threads=1, forward="float")


def plan_of(fact: Fact) -> Plan:
    """Prompts of other tokens for each fact, bare and after a context."""
    n = 10 + int(fact.name)
    wanted = ((2, 0, {9: 1.0}),)
    bare = Path((1, n, 3), ((2, 0),), wanted, 0)
    after = Path((1, 8, 8, n, 3), ((4, 0),), ((4, 0, {9: 1.0}),), 1)
    return Plan(fact, (Site(0, "p", {9: 1.0}),), (bare, after))


def measured(layers: tuple[int, ...], **changes: object) -> Measured:
    random = np.random.default_rng(0)
    profile = Profile("ab" * 32, "llama", 64, "prompt_last", layers, 1e-3, **changes)  # type: ignore[arg-type]
    text = random.standard_normal((300, 64)).astype(np.float32)
    return Measured(
        profile, dict.fromkeys(range(3), text.T @ text / 300), {}, (), np.zeros(0, np.int32)
    )


@pytest.fixture(autouse=True)
def plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random models have no tokenizer: the plans are made by hand."""

    def given(_: object, facts: list[Fact], profile: Profile, __: object) -> dict[int, list[Plan]]:
        return {max(profile.layers): [plan_of(fact) for fact in facts]}

    monkeypatch.setattr(spread, "plan_facts", given)


def units_of(reader: Reader, whole: Measured) -> list:  # type: ignore[type-arg]
    found = find_units(reader, [plan_of(f) for f in FACTS], max(whole.profile.layers),
                       SearchSettings(steps=10), whole.profile.units_id)  # fmt: skip
    return sorted((unit for group in found for unit in group), key=lambda unit: unit.id)


def test_over_one_layer_it_is_the_plain_solution(reader: Reader) -> None:
    plain, spreading = measured((1,)), measured((1,), spread=True)
    assert plain.profile.units_id == spreading.profile.units_id
    units = units_of(reader, plain)
    expected = solve_units(units, plain)[1]
    found = spread.updates_of(reader, FACTS, units, spreading, Relations())[1]
    assert np.abs(found.dense() - expected.dense()).max() < 1e-6 * np.abs(expected.dense()).max()


def test_over_two_layers_the_last_state_changes_by_the_residuals(reader: Reader) -> None:
    whole = measured((1, 2), spread=True)
    assert whole.profile.layer_of("ff" * 32) == 2
    units = units_of(reader, whole)
    updates = spread.updates_of(reader, FACTS, units, whole, Relations())
    assert sorted(updates) == [1, 2]
    assert all(np.abs(update.dense()).max() > 1e-3 for update in updates.values())
    again = spread.updates_of(reader, FACTS[::-1], units[::-1], whole, Relations())
    assert np.abs(again[2].dense() - updates[2].dense()).max() < 1e-4
    changed = {reader.weight(n): spread._tensors(update) for n, update in updates.items()}
    made = [plan_of(fact) for fact in FACTS]
    (_, before), (_, after) = (
        spread.read_units(reader, made, 2, 2, some) for some in ({}, changed)
    )
    order = {unit.fact: unit for unit in units}
    wanted = np.stack([order[plan.id].residual for plan in made])
    missing = np.linalg.norm(wanted - (after - before), axis=1) / np.linalg.norm(wanted, axis=1)
    assert missing.max() < 0.2  # with contexts a unit has several keys, so not to zero
    alone = spread.read_units(reader, made, 2, 2, {reader.weight(2): changed[reader.weight(2)]})[1]
    short = np.linalg.norm(wanted - (alone - before), axis=1) / np.linalg.norm(wanted, axis=1)
    assert short.min() > 2 * missing.max()  # each layer does its part


def test_every_layer_holds_every_unit(reader: Reader) -> None:
    whole = measured((1, 2), spread=True)
    units = units_of(reader, whole)
    assert capacity(units, whole.profile).units == {1: 3, 2: 3}
    updates = spread.updates_of(reader, FACTS, units, whole, Relations())
    held = spread.in_every_layer(units, whole.profile)
    shares = explain(updates, held, {1: np.zeros(64), 2: units[0].key})
    assert len(shares) == 6
    assert shares[0].fact == units[0].fact
    assert spread.in_every_layer(units, replace(whole.profile, spread=False)) == units
