"""The tables of an index file, and how it is opened and proven sound."""

import sqlite3
from pathlib import Path

from homezoo.errors import IndexFileError

APPLICATION = 0x687A6978  # "hzix": says that a file of SQLite is an index of ours
VERSION = 1
_MAGIC = b"SQLite format 3\0"
WAIT_SECONDS = 30.0  # for another process that writes

# Text is kept once: the search table refers to it. Words are stemmed by Porter's rules (English;
# other words mostly stay), and accents do not matter.
_TABLES = """
CREATE TABLE setting(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE root(path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE document(
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, kind TEXT NOT NULL, passages INTEGER NOT NULL, note TEXT NOT NULL);
CREATE TABLE passage(
  id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES document(id), start INTEGER NOT NULL,
  end INTEGER NOT NULL, tokens INTEGER NOT NULL, page INTEGER, heading TEXT NOT NULL,
  text TEXT NOT NULL);
CREATE INDEX passage_document ON passage(document);
CREATE TABLE vector(passage INTEGER PRIMARY KEY REFERENCES passage(id), blocks BLOB NOT NULL);
CREATE VIRTUAL TABLE word USING fts5(
  text, heading, content='passage', content_rowid='id',
  tokenize='porter unicode61 remove_diacritics 2');
"""


def create(path: Path) -> sqlite3.Connection:
    """A new, empty index; IndexFileError when there is a file already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=False)
    except FileExistsError:
        raise IndexFileError(f"{path} exists already") from None
    connection = _connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            f"BEGIN; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
            f"{_TABLES} COMMIT;"
        )
    except sqlite3.OperationalError as error:
        connection.close()
        path.unlink()
        raise _told(path, error) from None
    return connection


def open_existing(path: Path) -> sqlite3.Connection:
    """An index that is there.

    Raises IndexFileError for a file that is none, is of a later version, or is damaged.
    """
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
    if head and head != _MAGIC:
        raise IndexFileError(f"{path} is no index of homezoo, nor any database; it stays as it is")
    connection = _connect(path)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not tables:  # a creation was cut short before its commit
            connection.close()
            path.unlink()
            return create(path)
        if application != APPLICATION:
            raise IndexFileError(f"{path} is no index of homezoo; make one with homezoo index add")
        if version != VERSION:
            raise IndexFileError(
                f"{path} is an index of version {version}, this homezoo reads {VERSION}; "
                "update homezoo, or make the index again"
            )
        connection.execute("SELECT rowid FROM word LIMIT 1")  # the search module is there
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _told(path, error) from None
    except IndexFileError:
        connection.close()
        raise
    return connection


def problems(connection: sqlite3.Connection) -> list[str]:
    """What is wrong inside the file, one line each: nothing for a sound one."""
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        found = [] if found == ["ok"] else found
        connection.execute("INSERT INTO word(word, rank) VALUES('integrity-check', 1)")
        for name, query in _COUNTS.items():
            (number,) = connection.execute(query).fetchone()
            if number:
                found.append(f"{number} {name}")
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    finally:
        connection.rollback()
    return found


_COUNTS = {
    "passages without a document": (
        "SELECT count(*) FROM passage WHERE document NOT IN (SELECT id FROM document)"
    ),
    "documents with another number of passages than written down": (
        "SELECT count(*) FROM document WHERE passages <> "
        "(SELECT count(*) FROM passage WHERE document = document.id)"
    ),
    "vectors without a passage": (
        "SELECT count(*) FROM vector WHERE passage NOT IN (SELECT id FROM passage)"
    ),
    "passages without a vector": (
        "SELECT count(*) FROM passage WHERE EXISTS (SELECT 1 FROM setting WHERE key = 'embedder') "
        "AND id NOT IN (SELECT passage FROM vector)"
    ),
}


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAIT_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema = OFF")  # a stranger's file runs nothing of its own
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -65536")  # 64 MB
    connection.execute("PRAGMA synchronous = FULL")  # what is committed survives a power cut
    return connection


def _told(path: Path, error: sqlite3.DatabaseError) -> IndexFileError:
    if "no such module" in str(error):
        return IndexFileError(
            "the SQLite of this Python has no full-text search (FTS5); use a Python built with "
            "it, as those of python.org, Debian, Homebrew and conda are"
        )
    return IndexFileError(f"{path} cannot be used as an index: {error}; make it again")
