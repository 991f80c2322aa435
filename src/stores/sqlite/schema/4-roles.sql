-- The roles that the principal held when it logged in, as one text: their names, separated by commas.
ALTER TABLE login ADD COLUMN roles TEXT NOT NULL DEFAULT '';

UPDATE login SET roles = CASE
  WHEN admin = 1 AND storage = 1 THEN 'admin,storage'
  WHEN admin = 1 THEN 'admin'
  WHEN storage = 1 THEN 'storage'
  ELSE ''
END;

ALTER TABLE login DROP COLUMN admin;
ALTER TABLE login DROP COLUMN storage;
