"""The ledger: what is active, what was, and that order and detours leave no trace."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from homezoo.edit.fact_record import Unit, fact_id, unit_id
from homezoo.edit.facts import Fact
from homezoo.edit.ledger import Ledger
from homezoo.edit.triples import LiteralValue
from homezoo.errors import EditError, FactError

HEADER = {"base": "ab" * 32, "architecture": "llama"}


def fact(subject: str, target: str = "savannah", **more: str) -> Fact:
    return Fact(f"a:{subject}", "a:livesIn", subject, (target,), targets=(f"a:{target}",), **more)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "zoo.ledger", HEADER)


def unit_of(wanted: Fact, profile: str = "p", place: int = 0) -> Unit:
    random = np.random.default_rng(int(fact_id(wanted)[:8], 16))
    arrays = [random.standard_normal(size).astype(np.float32) for size in (8, 4)]
    id = unit_id(fact_id(wanted), place, profile)
    return Unit(id, fact_id(wanted), place, 1, "leo lives in", {7: 1.0}, *arrays, 5.0, 0.05, 0.7)


def test_a_fact_and_its_history(ledger: Ledger) -> None:
    first = fact("leo", source="keeper's book")
    assert ledger.record([first]).added == [first]
    assert ledger.record([replace(first, source="again")]).unchanged
    changes = ledger.record([fact("leo", "house")])
    assert (changes.added, changes.superseded) == ([fact("leo", "house")], [first])
    assert [entry.status for entry in ledger.entries()] == ["superseded", "active"]
    assert [entry.fact for entry in ledger.active()] == [fact("leo", "house")]
    assert ledger.entries()[0].fact.source == "keeper's book"
    assert [(action, detail) for _, action, detail in ledger.events()] == [
        ("assert", "leo <a:livesIn> savannah [keeper's book]"),
        ("supersede", "leo <a:livesIn> savannah [keeper's book]"),
        ("assert", "leo <a:livesIn> house"),
    ]


def test_what_was_superseded_does_not_come_back(ledger: Ledger) -> None:
    ledger.record([fact("leo")])
    ledger.record([fact("leo", "house")])
    ledger.retract([fact("leo", "house")])
    assert ledger.active() == []


def test_the_set_counts_and_not_the_way_to_it(tmp_path: Path) -> None:
    straight = Ledger.create(tmp_path / "straight", HEADER)
    straight.record([fact("leo"), fact("mia", "house"), fact("bo")])
    winding = Ledger.create(tmp_path / "winding", HEADER)
    winding.record([fact("bo", "cage"), fact("tim")])
    winding.record([fact("mia", "house")])
    winding.retract([fact("tim")])
    winding.record([fact("bo"), fact("leo")])
    assert straight.digest() == winding.digest()
    assert [e.id for e in straight.active()] == [e.id for e in winding.active()]
    winding.retract([replace(fact("leo"), objects=())])
    assert straight.digest() != winding.digest()


def test_retracting_what_is_not_there(ledger: Ledger) -> None:
    ledger.record([fact("leo")])
    with pytest.raises(EditError, match="'mia' has no active edit"):
        ledger.retract([fact("leo"), fact("mia")])
    assert len(ledger.active()) == 1  # all or nothing
    with pytest.raises(EditError, match="says 'savannah', not 'house'"):
        ledger.retract([fact("leo", "house")])


def test_one_call_with_two_wishes(ledger: Ledger) -> None:
    with pytest.raises(FactError, match="twice in one call"):
        ledger.record([fact("leo"), fact("leo", "house")])
    assert ledger.entries() == []


def test_operations_of_the_source(ledger: Ledger) -> None:
    ledger.record([fact("leo"), fact("mia")])
    ledger.record([replace(fact("leo"), operation="retract"),
                    replace(fact("mia"), operation="suppress")])  # fmt: skip
    (left,) = ledger.active()
    assert (left.fact.name, left.fact.operation) == ("mia", "suppress")


def test_facts_come_back_as_they_were(ledger: Ledger) -> None:
    full = Fact("a:x", "a:p", "Köln", ("1 March 2024",), "assert", ("Colonia",), ("March 1",),
                (LiteralValue("2024-03-01", "", "a:date"), "a:o"), "2024", "x.nt:3")  # fmt: skip
    ledger.record([full])
    assert ledger.active()[0].fact == full


def test_units_are_kept_by_fact_and_profile(ledger: Ledger) -> None:
    leo, mia = fact("leo"), fact("mia")
    ledger.store([unit_of(leo), unit_of(mia), unit_of(leo, "other profile"), unit_of(leo, place=1)])
    found = ledger.units([fact_id(leo)], "p")
    assert sorted(unit.place for unit in found) == [0, 1]
    assert [unit.id for unit in found] == sorted(unit.id for unit in found)
    again = next(unit for unit in found if unit.place == 0)
    wanted = unit_of(leo)
    assert again.key.tobytes() == wanted.key.tobytes()
    assert again.residual.tobytes() == wanted.residual.tobytes()
    assert again.target == {7: 1.0}
    assert len(ledger.units([fact_id(leo), fact_id(mia)], "p")) == 3


def test_a_new_base_keeps_facts_and_history(ledger: Ledger) -> None:
    ledger.record([fact("leo"), fact("mia")])
    ledger.retract([fact("mia")])
    ledger.store([unit_of(fact("leo")), unit_of(fact("mia"))])
    ledger.set_header(profile="{}")
    before, digest = ledger.entries(), ledger.digest()
    assert ledger.rebase(HEADER | {"base": "cd" * 32, "path": "other.gguf"}) == 2
    assert ledger.entries() == before
    assert (ledger.header["base"], ledger.header["path"]) == ("cd" * 32, "other.gguf")
    assert ledger.units([fact_id(fact("leo"))], "p") == []
    assert "profile" not in ledger.header
    assert ledger.digest() != digest
    assert ledger.events()[-1][1:] == ("rebase", "from base abababababab to cdcdcdcdcdcd")


def test_a_ledger_survives_its_process(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "l", HEADER) as ledger:
        ledger.record([fact("leo")])
        ledger.set_header(profile="{}")
    with Ledger.open(tmp_path / "l") as ledger:
        assert ledger.header["profile"] == "{}"
        assert len(ledger.active()) == 1


def test_files_that_are_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(EditError, match="there is no ledger"):
        Ledger.open(tmp_path / "none")
    (tmp_path / "text").write_text("not a database, but long enough to look at " * 20)
    with pytest.raises(EditError, match="is no ledger"):
        Ledger.open(tmp_path / "text")
    sqlite3.connect(tmp_path / "other").execute(
        "CREATE TABLE header (key, value)"
    ).connection.close()
    with pytest.raises(EditError, match="version None"):
        Ledger.open(tmp_path / "other")
    with pytest.raises(EditError, match="is there already"):
        Ledger.create(tmp_path / "text", HEADER)
    with pytest.raises(EditError, match="architecture is missing"):
        Ledger.create(tmp_path / "new", {"base": "x"})
    assert not (tmp_path / "new").exists()
