-- How many rows each owner has in `session`, expired ones included. To count them for each creation would take longer the
-- more there are.
CREATE TABLE session_count (
  owner TEXT NOT NULL PRIMARY KEY,
  sessions INTEGER NOT NULL CHECK (sessions > 0)
) STRICT, WITHOUT ROWID;

INSERT INTO session_count (owner, sessions) SELECT owner, count(*) FROM session GROUP BY owner;

CREATE TRIGGER session_added AFTER INSERT ON session BEGIN
  INSERT INTO session_count (owner, sessions) VALUES (new.owner, 1)
    ON CONFLICT DO UPDATE SET sessions = sessions + 1;
END;

-- The rows that REPLACE deletes fire no triggers: nothing may replace a session.
CREATE TRIGGER session_removed AFTER DELETE ON session BEGIN
  DELETE FROM session_count WHERE owner = old.owner AND sessions = 1;
  UPDATE session_count SET sessions = sessions - 1 WHERE owner = old.owner;
END;
