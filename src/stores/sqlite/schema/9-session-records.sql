-- What operators see of a session; null for sessions of earlier releases. There is no index: lists are read in the order
-- of creation.
ALTER TABLE session ADD COLUMN created_at INTEGER;

-- Address of the client of its last call, once it is recorded.
ALTER TABLE session ADD COLUMN client_address TEXT;
