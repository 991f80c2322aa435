-- Whether the owner was proven by the users file, so that the session ends with that user.
ALTER TABLE session ADD COLUMN ends_with_user INTEGER NOT NULL DEFAULT 0 CHECK (ends_with_user IN (0, 1));
