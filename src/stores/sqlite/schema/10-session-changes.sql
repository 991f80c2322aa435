-- Which processes watch sessions, and until when that counts, in milliseconds on the clock of the file.
CREATE TABLE session_watcher (
  worker TEXT NOT NULL PRIMARY KEY,
  counts_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Changes of sessions for the processes that watch, for some seconds. A sequence is never used twice, so that a process
-- that comes late notices that some are gone.
CREATE TABLE session_change (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  worker TEXT NOT NULL,
  published_at INTEGER NOT NULL,
  -- As text; null if changes are missing.
  changes TEXT
) STRICT;
