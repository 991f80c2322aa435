-- The processes that serve from this file, by name.
CREATE TABLE replica (
  name TEXT NOT NULL PRIMARY KEY,
  -- When it last reported, in milliseconds on the clock of the file.
  seen_at INTEGER NOT NULL,
  -- The leases that it has counted last, so that a repeated report adds them once.
  batch TEXT NOT NULL,
  -- What it reported, as JSON.
  report TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What they know in common: one row.
CREATE TABLE census (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  -- Leases that were granted and ended since this table exists.
  granted INTEGER NOT NULL,
  ended INTEGER NOT NULL,
  -- The process that counts the sessions, and until when it is that one's to do.
  taker TEXT,
  taken_until INTEGER NOT NULL,
  -- The latest count, as JSON.
  latest TEXT
) STRICT;

INSERT INTO census (only, granted, ended, taken_until) VALUES (1, 0, 0, 0);
