-- What a session knows of its item's files lives and ends with it. To give the id of an expired session to a new one
-- deletes the old row, too.
CREATE TABLE session_file (
  session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  -- Null: bytes were sent, but nobody has asked for the file.
  requested TEXT CHECK (requested IN ('HTTPS', 'DIRECT')),
  bytes_sent INTEGER NOT NULL CHECK (bytes_sent >= 0),
  PRIMARY KEY (session_id, name)
) STRICT, WITHOUT ROWID;

-- What is known of making a file ready, in one content version. A row that has expired counts for nothing.
CREATE TABLE preparation (
  item_id TEXT NOT NULL,
  content_version TEXT NOT NULL,
  file_name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
  -- Whose the job is; only while it is running.
  worker TEXT,
  bytes_done INTEGER NOT NULL,
  -- As JSON; only when it is not running any more.
  result TEXT,
  -- Milliseconds since the Unix epoch.
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (item_id, content_version, file_name)
) STRICT, WITHOUT ROWID;

CREATE INDEX preparation_expiry ON preparation (expires_at);

-- The key that links are signed with, if it is not configured; the secret in base64.
CREATE TABLE link_key (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  id TEXT NOT NULL,
  secret TEXT NOT NULL
) STRICT;

-- Whether the principal held the `storage` role when it was proven.
ALTER TABLE login ADD COLUMN storage INTEGER NOT NULL DEFAULT 0 CHECK (storage IN (0, 1));
