import { randomBytes, randomUUID } from "node:crypto";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteLinkKeyStore } from "../../src/stores/sqlite/sqlite-link-key-store.ts";

/** Run as a process of its own: prints the key that the store keeps as JSON, the secret in hexadecimal. */
const database = new SqliteDatabase(process.argv[2] ?? "");
const candidate = { id: randomUUID(), secret: randomBytes(32) };
const { id, secret } = await new SqliteLinkKeyStore(database).linkKey(candidate);
database.close();
process.stdout.write(JSON.stringify({ id, secret: Buffer.from(secret).toString("hex") }));
