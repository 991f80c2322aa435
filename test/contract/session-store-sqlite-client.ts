import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { callerNamed } from "../support/callers.ts";
import type { Observation } from "./session-store-concurrency.ts";

/**
 * Run as a process of its own: keeps a session alive as fast as it can until it has been refused for a while, and
 * prints what it saw as JSON. Its clock is the machine's, the same in every process.
 */
const [path = "", id = "", principal = ""] = process.argv.slice(2);
const refusalsToSee = 20;
const terms = { leaseMs: 60_000, retentionMs: 60_000 };

const database = new SqliteDatabase(path);
const store = new SqliteSessionStore({ database, terms });
const observations: Observation[] = [];
const now = () => Number(process.hrtime.bigint()) / 1e6;
for (let turn = 0, refused = 0; refused < refusalsToSee; turn++) {
  const startedAt = now();
  const progress = Math.min(100, Math.floor(turn / 20));
  const result = await store.keepAlive(id, callerNamed(principal), progress);
  observations.push({ startedAt, acknowledgedAt: now(), result });
  if (result.outcome !== "renewed") refused++;
}
database.close();
process.stdout.write(JSON.stringify(observations));
