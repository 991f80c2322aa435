-- Settings that were changed while the service ran, by name. They count for every process that uses the file.
CREATE TABLE setting (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How often settings were changed: one row.
CREATE TABLE setting_version (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  version INTEGER NOT NULL
) STRICT;

INSERT INTO setting_version (only, version) VALUES (1, 0);

-- The bandwidth that was given out, by process. Times are in milliseconds on the clock of the file.
CREATE TABLE bandwidth (
  worker TEXT NOT NULL PRIMARY KEY,
  downloads INTEGER NOT NULL CHECK (downloads > 0),
  -- Until when the downloads count among those that share the bandwidth.
  counts_until REAL NOT NULL,
  -- The latest portion of the process: which part of the limit, how many bytes, from when to when.
  share REAL NOT NULL,
  bytes INTEGER NOT NULL,
  given_from REAL NOT NULL,
  given_until REAL NOT NULL
) STRICT, WITHOUT ROWID;
