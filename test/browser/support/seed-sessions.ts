import { DatabaseSync } from "node:sqlite";

export interface Seeds {
  readonly count: number;
  readonly itemIds: readonly string[];
  readonly owners: readonly string[];
}

/** The id of the session with this number, from 0. */
export const seedId = (number: number) => `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;

/** Writes sessions into the file of the service, which takes seconds where clients would take minutes. */
export function seedSessions(path: string, { count, itemIds, owners }: Seeds): void {
  using database = new DatabaseSync(path);
  const insert = database.prepare(
    `INSERT INTO session (id, owner, library_item_id, content_version, state, progress, expires_at, created_at)
     VALUES (?, ?, ?, '1', ?, ?, ?, ?)`,
  );
  const now = Date.now();
  const stateOf = (number: number) => (number % 9 === 8 ? "CANCELED" : "ACTIVE");
  database.exec("BEGIN");
  for (let number = 0; number < count; number++) {
    const [owner, item] = [owners[number % owners.length]!, itemIds[(number * 7) % itemIds.length]!];
    const [expiresAt, createdAt] = [now + 280_000 - (number % 97) * 1_500, now - number * 11_000];
    insert.run(seedId(number), owner, item, stateOf(number), (number * 37) % 50, expiresAt, createdAt);
  }
  database.exec("COMMIT");
}
