"""The tables of a ledger, an SQLite file."""

VERSION = 1
SCHEMA = """
CREATE TABLE header (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE facts (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL,             -- SHA-256 of what is wanted; the same wish has the same id
  subject TEXT NOT NULL,
  predicate TEXT NOT NULL,
  name TEXT NOT NULL,           -- what texts call the subject
  operation TEXT NOT NULL CHECK (operation IN ('assert', 'suppress')),
  fact TEXT NOT NULL,           -- the whole fact, JSON
  added TEXT NOT NULL,          -- UTC, ISO 8601
  ended TEXT,
  status TEXT NOT NULL CHECK (status IN ('active', 'superseded', 'retracted'))
);
CREATE UNIQUE INDEX one_active_fact ON facts (subject, predicate) WHERE status = 'active';
CREATE INDEX facts_by_id ON facts (id);
CREATE TABLE units (
  id TEXT PRIMARY KEY,          -- SHA-256 of the fact's id, place and profile
  fact TEXT NOT NULL,           -- the fact's id
  place INTEGER NOT NULL,       -- which of the fact's units
  layer INTEGER NOT NULL,
  prompt TEXT NOT NULL,
  target TEXT NOT NULL,         -- token ids and their shares, JSON
  key BLOB NOT NULL,            -- float32 [K], little-endian
  residual BLOB NOT NULL,       -- float32 [D]
  loss_before REAL NOT NULL,    -- nats
  loss_after REAL NOT NULL,
  length REAL NOT NULL          -- |r| / |h|
) WITHOUT ROWID;
CREATE INDEX units_by_fact ON units (fact);
CREATE TABLE events (
  number INTEGER PRIMARY KEY,
  time TEXT NOT NULL,
  action TEXT NOT NULL,
  fact INTEGER REFERENCES facts (number),
  detail TEXT NOT NULL
);
"""
