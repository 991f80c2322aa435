-- When a file was first requested in its session; null for requests of earlier releases.
ALTER TABLE session_file ADD COLUMN requested_at INTEGER;

-- Whether a file that is being prepared contradicted its manifest before, so that it must not be given out until it is.
ALTER TABLE preparation ADD COLUMN verify_first INTEGER NOT NULL DEFAULT 0 CHECK (verify_first IN (0, 1));
