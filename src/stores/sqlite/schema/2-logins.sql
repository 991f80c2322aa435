-- `digest` is the SHA-256 of the identifier in hexadecimal. Times are in milliseconds since the Unix epoch.
CREATE TABLE login (
  digest TEXT NOT NULL PRIMARY KEY,
  principal TEXT NOT NULL,
  admin INTEGER NOT NULL CHECK (admin IN (0, 1)),
  proof TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  last_used_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Uses are written down too rarely for the index to cost anything.
CREATE INDEX login_expiry ON login (expires_at);

-- `digest` is the SHA-256 of what the failures are counted for.
CREATE TABLE login_failure (
  digest TEXT NOT NULL PRIMARY KEY,
  count INTEGER NOT NULL CHECK (count > 0),
  forgotten_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX login_failure_expiry ON login_failure (forgotten_at);
