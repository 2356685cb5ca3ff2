"""An index: documents, their passages and vectors in one SQLite file that a crash cannot spoil."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from homezoo.context import schema
from homezoo.context.passages import Passage
from homezoo.errors import IndexFileError
from homezoo.ops.scan import pack_vectors


@dataclass(frozen=True)
class FileState:
    """What is known of a file that was read: enough to see whether it has changed."""

    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Entry:
    """A document in the index; `note` says what was wrong with it, or is empty."""

    path: str
    kind: str
    passages: int
    note: str
    state: FileState


class Index:
    """Open it in a `with` block. What `commit` has returned for is on the disk."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use `open` or `create`."""
        self.path = path
        self.connection = connection

    @classmethod
    def open(cls, path: Path) -> "Index":
        """IndexFileError when there is none, or it is damaged."""
        if not path.is_file():
            raise IndexFileError(
                f"there is no index {path}; make one with: homezoo index add NAME PATHS…"
            )
        return cls(path, schema.open_existing(path))

    @classmethod
    def create(cls, path: Path) -> "Index":
        """A new one; IndexFileError when the file is there."""
        return cls(path, schema.create(path))

    def setting(self, key: str) -> str | None:
        """A value that was set when the index was made."""
        row = self.connection.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set(self, key: str, value: str) -> None:
        """Sets it, with the next commit."""
        self.connection.execute("INSERT OR REPLACE INTO setting VALUES(?, ?)", (key, value))

    def roots(self) -> list[str]:
        """Files and folders that were added."""
        return [str(row[0]) for row in self.connection.execute("SELECT path FROM root")]

    def add_root(self, path: str) -> None:
        """With the next commit."""
        self.connection.execute("INSERT OR IGNORE INTO root VALUES(?)", (path,))

    def entries(self) -> Iterator[Entry]:
        """Every document, by path."""
        query = (
            "SELECT path, kind, passages, note, sha256, size, mtime_ns FROM document ORDER BY path"
        )
        for row in self.connection.execute(query):
            path, kind, passages, note, *state = row
            yield Entry(path, kind, passages, note, FileState(*state))

    def counts(self) -> dict[str, int]:
        """Documents, passages, tokens and vectors."""
        (documents,) = self.connection.execute("SELECT count(*) FROM document").fetchone()
        passages, tokens = self.connection.execute(
            "SELECT count(*), ifnull(sum(tokens), 0) FROM passage"
        ).fetchone()
        (vectors,) = self.connection.execute("SELECT count(*) FROM vector").fetchone()
        return {
            "documents": documents, "passages": passages, "tokens": tokens, "vectors": vectors
        }  # fmt: skip

    def put(
        self,
        path: str,
        kind: str,
        state: FileState,
        passages: Sequence[Passage],
        vectors: np.ndarray | None = None,
        note: str = "",
    ) -> None:
        """A document in place of what was known under its path, with the next commit.

        `vectors` float [passages, D], where the index has an embedder.
        """
        self.remove(path)
        done = self.connection.execute(
            "INSERT INTO document(path, sha256, size, mtime_ns, kind, passages, note) "
            "VALUES(?, ?, ?, ?, ?, ?, ?)",
            (path, state.sha256, state.size, state.mtime_ns, kind, len(passages), note),
        )
        first = self._next_passage()
        rows = [
            (first + n, done.lastrowid, p.start, p.end, p.tokens, p.page, p.heading, p.text)
            for n, p in enumerate(passages)
        ]
        self.connection.executemany("INSERT INTO passage VALUES(?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.connection.executemany(
            "INSERT INTO word(rowid, text, heading) VALUES(?, ?, ?)",
            [(row[0], row[7], row[6]) for row in rows],
        )
        if vectors is not None and len(rows):
            blocks = pack_vectors(vectors)
            self.connection.executemany(
                "INSERT INTO vector VALUES(?, ?)",
                [(row[0], block.tobytes()) for row, block in zip(rows, blocks, strict=True)],
            )

    def touch(self, path: str, state: FileState) -> None:
        """Notes another time of change for a document of the same content."""
        self.connection.execute(
            "UPDATE document SET mtime_ns = ?, size = ? WHERE path = ?",
            (state.mtime_ns, state.size, path),
        )

    def remove(self, path: str) -> None:
        """Forgets a document, with the next commit; nothing when it is not there."""
        row = self.connection.execute("SELECT id FROM document WHERE path = ?", (path,)).fetchone()
        if row is None:
            return
        of = "FROM passage WHERE document = ?"
        self.connection.execute(
            "INSERT INTO word(word, rowid, text, heading) "
            f"SELECT 'delete', id, text, heading {of}", row
        )  # fmt: skip
        self.connection.execute(f"DELETE FROM vector WHERE passage IN (SELECT id {of})", row)
        self.connection.execute(f"DELETE {of}", row)
        self.connection.execute("DELETE FROM document WHERE id = ?", row)

    def commit(self) -> None:
        """Puts what was changed on the disk."""
        self.connection.commit()

    def merge(self) -> None:
        """Makes later searches faster: the search table's parts become one."""
        self.connection.execute("INSERT INTO word(word) VALUES('optimize')")
        self.connection.commit()

    def problems(self) -> list[str]:
        """What is wrong inside the file; empty for a sound one."""
        return schema.problems(self.connection)

    def _next_passage(self) -> int:
        (last,) = self.connection.execute("SELECT ifnull(max(id), 0) FROM passage").fetchone()
        return int(last) + 1

    def close(self) -> None:
        """What was not committed is as if it had not been."""
        self.connection.close()

    def __enter__(self) -> "Index":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
