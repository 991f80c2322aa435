-- The last sign of life of any process that serves from this file: one row. All times in other tables are on the clock
-- that it describes; see clock.ts. Times are in milliseconds.
CREATE TABLE sign_of_life (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  -- The boot of the machine that the monotonic clock belongs to.
  boot TEXT NOT NULL,
  -- The monotonic clock when the row was written.
  monotonic REAL NOT NULL,
  -- What the file's clock is ahead of the monotonic clock.
  offset REAL NOT NULL,
  -- The machine's clock, since the Unix epoch, when the row was written.
  wall REAL NOT NULL,
  -- Makes the write as large as the creation of a session, after a write has failed.
  padding BLOB
) STRICT;
