"""The ledger: every wanted fact with its history, source, key and residual, in one SQLite file.

What is built from it depends only on the set of its active facts, because keys and residuals are
taken on the base and never on an edited model. So order does not matter, and to retract is exact.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

from homezoo.edit.fact_record import (
    Unit,
    fact_from_json,
    fact_id,
    fact_to_json,
    unit_from_row,
    unit_id,
    unit_to_row,
)
from homezoo.edit.facts import Fact
from homezoo.edit.ledger_schema import SCHEMA, VERSION
from homezoo.errors import EditError, FactError

NEEDED = ("base", "architecture")  # what a ledger must know of its base


@dataclass(frozen=True)
class Entry:
    """A fact of the ledger."""

    number: int
    id: str
    fact: Fact
    added: str
    ended: str | None
    status: str  # active, superseded, retracted


@dataclass
class Changes:
    """What one call did."""

    added: list[Fact]
    superseded: list[Fact]
    unchanged: list[Fact]
    retracted: list[Fact]


class Ledger:
    """An open ledger; used as a context manager. Each method is one transaction."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use `create` or `open`."""
        self.path = path
        self._sql = connection

    @classmethod
    def create(cls, path: Path, header: dict[str, str]) -> "Ledger":
        """A new, empty ledger; EditError when there is a file or the base is not said."""
        missing = [key for key in NEEDED if not header.get(key)]
        if missing:
            raise EditError(f"a ledger must know its base: {', '.join(missing)} is missing")
        try:  # whoever comes second must not write into the file of the first
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            raise EditError(f"{path} is there already; open it, or choose another name") from None
        ledger = cls(path, _connect(path))
        with ledger._writing():
            for statement in SCHEMA.split(";\n"):
                ledger._sql.execute(statement)
            rows = header | {"version": str(VERSION)}
            ledger._sql.executemany("INSERT INTO header VALUES (?, ?)", rows.items())
        return ledger

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """An existing ledger; EditError for a file that is none or of another version."""
        if not path.is_file():
            raise EditError(
                f"there is no ledger {path}; begin one: homezoo edit assert {path} FACTS --model M"
            )
        ledger = cls(path, _connect(path))
        try:
            version = ledger.header.get("version")
        except sqlite3.DatabaseError:
            ledger.close()
            raise EditError(f"{path} is no ledger") from None
        if version != str(VERSION):
            ledger.close()
            raise EditError(
                f"{path} is a ledger of version {version}; this program knows {VERSION}"
            )
        return ledger

    @property
    def header(self) -> dict[str, str]:
        """What the ledger says of its base, profile and relations."""
        return dict(self._sql.execute("SELECT key, value FROM header"))

    def set_header(self, **values: str) -> None:
        """Changes what the ledger says of itself."""
        with self._writing():
            self._sql.executemany("INSERT OR REPLACE INTO header VALUES (?, ?)", values.items())

    def record(self, facts: Sequence[Fact]) -> Changes:
        """Writes facts down as wanted; those whose operation is `retract` end instead.

        A fact with another object than the active one supersedes it. All or none: FactError for
        two facts with one key, EditError for a fact to retract that is not active.
        """
        changes = Changes([], [], [], [])
        keys = [fact.key for fact in facts]
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise FactError(f"<{twice[0]}> <{twice[1]}> comes twice in one call; give it once")
        with self._writing():
            for fact in facts:
                if fact.operation == "retract":
                    self._retract(fact, changes)
                else:
                    self._want(fact, changes)
        return changes

    def retract(self, facts: Sequence[Fact]) -> Changes:
        """Ends active facts by subject and predicate; the base's own answer is back after a build.

        EditError when one is not active, or its object is another than the one to retract.
        """
        changes = Changes([], [], [], [])
        with self._writing():
            for fact in facts:
                self._retract(fact, changes)
        return changes

    def active(self) -> list[Entry]:
        """The wanted facts, in order of their ids, so that the order of writing leaves no trace."""
        return self._entries("WHERE status = 'active' ORDER BY id")

    def entries(self) -> list[Entry]:
        """All facts that ever were, oldest first."""
        return self._entries("ORDER BY number")

    def events(self) -> list[tuple[str, str, str]]:
        """The log: time, action, what."""
        return list(self._sql.execute("SELECT time, action, detail FROM events ORDER BY number"))

    def note(self, action: str, detail: str) -> None:
        """Adds a line to the log."""
        with self._writing():
            self._log(action, None, detail)

    def units(self, facts: Iterable[str], profile: str) -> list[Unit]:
        """The units of facts by id that were computed under a profile, in order of their ids."""
        found = []
        for fact in sorted(set(facts)):
            for row in self._sql.execute("SELECT * FROM units WHERE fact = ?", (fact,)):
                unit = unit_from_row(row)
                if unit.id == unit_id(fact, unit.place, profile):
                    found.append(unit)
        return sorted(found, key=lambda unit: unit.id)

    def store(self, units: Sequence[Unit]) -> None:
        """Keeps computed units, replacing those with the same id."""
        with self._writing():
            self._sql.executemany(
                "INSERT OR REPLACE INTO units VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [unit_to_row(unit) for unit in units],
            )

    def rebase(self, header: dict[str, str]) -> int:
        """Binds the ledger to another base; what was found on the old one goes: how many units."""
        old = self.header["base"]
        with self._writing():
            gone = self._sql.execute("DELETE FROM units").rowcount
            self._sql.execute("DELETE FROM header WHERE key = 'profile'")
            self._sql.executemany("INSERT OR REPLACE INTO header VALUES (?, ?)", header.items())
            self._log("rebase", None, f"from base {old[:12]} to {header['base'][:12]}")
        return gone

    def digest(self) -> str:
        """SHA-256 of the set of active facts and of the base: equal sets, equal digests."""
        whole = hashlib.sha256(self.header["base"].encode())
        for entry in self.active():
            whole.update(b"\n" + entry.id.encode())
        return whole.hexdigest()

    def close(self) -> None:
        """Lets go of the file."""
        self._sql.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _want(self, fact: Fact, changes: Changes) -> None:
        held = self._held(fact)
        if held is not None and held.id == fact_id(fact):
            changes.unchanged.append(fact)
            return
        if held is not None:
            self._end(held, "superseded")
            changes.superseded.append(held.fact)
        cursor = self._sql.execute(
            "INSERT INTO facts (id, subject, predicate, name, operation, fact, added, status) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 'active')",
            (fact_id(fact), *fact.key, fact.name, fact.operation, fact_to_json(fact), _now()),
        )
        self._log(fact.operation, cursor.lastrowid, _said(fact))
        changes.added.append(fact)

    def _retract(self, fact: Fact, changes: Changes) -> None:
        held = self._held(fact)
        if held is None:
            raise EditError(
                f"{fact.name!r} has no active edit of <{fact.predicate}>; "
                "homezoo edit log shows what there is"
            )
        if fact.objects and set(fact.objects) != set(held.fact.objects):
            raise EditError(
                f"the edit of {fact.name!r} <{fact.predicate}> says "
                f"{', '.join(held.fact.objects)!r}, not {', '.join(fact.objects)!r}; "
                "give the object that was asserted"
            )
        self._end(held, "retracted")
        changes.retracted.append(held.fact)

    def _held(self, fact: Fact) -> Entry | None:
        found = self._entries("WHERE status = 'active' AND subject = ? AND predicate = ?", fact.key)
        return found[0] if found else None

    def _end(self, entry: Entry, status: str) -> None:
        self._sql.execute(
            "UPDATE facts SET status = ?, ended = ? WHERE number = ?",
            (status, _now(), entry.number),
        )
        action = "supersede" if status == "superseded" else "retract"
        self._log(action, entry.number, _said(entry.fact))

    def _log(self, action: str, fact: int | None, detail: str) -> None:
        self._sql.execute(
            "INSERT INTO events (time, action, fact, detail) VALUES (?, ?, ?, ?)",
            (_now(), action, fact, detail),
        )

    def _entries(self, clause: str, values: Sequence[str] = ()) -> list[Entry]:
        rows = self._sql.execute(
            f"SELECT number, id, fact, added, ended, status FROM facts {clause}", values
        )
        return [Entry(n, id, fact_from_json(text), *rest) for n, id, text, *rest in rows]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction: all of it, or nothing."""
        try:
            self._sql.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise EditError(f"{self.path} cannot be written now: {error}") from None
        try:
            yield
        except BaseException:
            self._sql.execute("ROLLBACK")
            raise
        self._sql.execute("COMMIT")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _said(fact: Fact) -> str:
    """One line for people."""
    source = f" [{fact.source}]" if fact.source else ""
    return f"{fact.name} <{fact.predicate}> {', '.join(fact.objects)}{source}"
