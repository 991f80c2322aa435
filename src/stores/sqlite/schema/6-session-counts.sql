-- How many rows each owner has in `session`, expired ones included: to count them for each creation would take longer the
-- more there are. None of them expires before `sure_until`, on the clock of the file; until then nobody has to look.
CREATE TABLE session_count (
  owner TEXT NOT NULL PRIMARY KEY,
  sessions INTEGER NOT NULL CHECK (sessions > 0),
  sure_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO session_count (owner, sessions, sure_until)
  SELECT owner, count(*), min(expires_at) FROM session GROUP BY owner;

CREATE TRIGGER session_added AFTER INSERT ON session BEGIN
  INSERT INTO session_count (owner, sessions, sure_until) VALUES (new.owner, 1, new.expires_at)
    ON CONFLICT DO UPDATE SET sessions = sessions + 1, sure_until = min(sure_until, excluded.sure_until);
END;

-- The rows that REPLACE deletes fire no triggers: nothing may replace a session.
CREATE TRIGGER session_removed AFTER DELETE ON session BEGIN
  DELETE FROM session_count WHERE owner = old.owner AND sessions = 1;
  UPDATE session_count SET sessions = sessions - 1 WHERE owner = old.owner;
END;
