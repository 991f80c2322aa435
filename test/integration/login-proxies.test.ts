import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { invocation, type Post, postOverHttp1 } from "../support/json-rpc.ts";
import { loginClients } from "../support/login-clients.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const invalid = { messageId: "downlease.authentication.invalid" };
const tooMany = { messageId: "downlease.login.too_many_failures" };
const overloaded = { messageId: "downlease.login.overloaded" };
const { params, ...envelope } = invocation("create", {});
const login = { ...envelope, params: { ...params, serviceId: "com.vmware.cis.session" } };
const wrong = { authorization: basic("alice", "wrong") };

/** Headers as a proxy sends them, of a client in a network that no other test uses. */
function stranger(): Record<string, string> {
  const network = randomBytes(8).toString("hex").match(/.{4}/g)!.join(":");
  return { "x-forwarded-for": `6.6.6.6, ${network}::1` };
}

let directory: TempDir;
let usersFile: string;
beforeAll(async () => {
  directory = await tempDir();
  usersFile = join(directory.path, "users");
  await writeFile(usersFile, `alice:${cheapHash("correct horse", 12)}:`, { mode: 0o600 });
});
afterAll(() => directory.remove());

const start = (limit: string, options: { store: "SQLite" | "Redis"; fastLane: boolean }) =>
  startTestApp({
    ...options,
    settings: {
      ...{ usersFile, trustedProxies: "127.0.0.1" },
      ...{ loginFailuresPerUser: "0", loginFailuresPerAddress: limit },
    },
  });

describe.each([
  { store: "SQLite", fastLane: true },
  { store: "Redis", fastLane: false },
] as const)("clients behind a trusted proxy, $store, fast lane: $fastLane", (options) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await start("2", options);
  });
  afterAll(() => app.stop());

  test.each(Object.entries(loginClients))("have failures of their own over %s", async (_, open) => {
    const client = open(app.url);
    const [guesser, another] = [stranger(), stranger()];
    for (let count = 0; count < 2; count++)
      await expect(client.create({ ...guesser, ...wrong })).rejects.toMatchObject(invalid);
    await expect(client.create(guesser)).rejects.toMatchObject(tooMany);
    expect(await client.create(another)).toMatch(/^[0-9a-f]{32}$/);
  });
});

test.each<[string, (headers: Record<string, string>) => Parameters<Post>]>([
  ["/api", (headers) => ["", headers, "/api/session"]],
  ["JSON-RPC", (headers) => [JSON.stringify(login), headers]],
])("so they have over %s", async (_, request) => {
  const app = await start("1", { store: "SQLite", fastLane: true });
  try {
    const post = postOverHttp1(app.url);
    const [guesser, another] = [stranger(), stranger()];
    const right = { authorization: basic("alice", "correct horse") };
    await post(...request({ ...guesser, ...wrong }));
    expect((await post(...request({ ...guesser, ...right }))).text).toContain(tooMany.messageId);
    expect((await post(...request({ ...another, ...right }))).text).toMatch(/"[0-9a-f]{32}"/);
  } finally {
    await app.stop();
  }
});

test("one client that floods the service with wrong passwords keeps no other from logging in", async () => {
  const app = await start("0", { store: "SQLite", fastLane: true });
  const client = loginClients["/rest, JSON"]!(app.url);
  const flooder = stranger();
  const seen = { wrong: 0, refused: 0 };
  let isOver = false;
  const flood = Array.from({ length: 60 }, async () => {
    while (!isOver) {
      const reason = await client.create({ ...flooder, ...wrong }).catch((error: unknown) => error);
      const { messageId } = reason as { messageId: string };
      if (messageId === overloaded.messageId) seen.refused++;
      else if (messageId === invalid.messageId) seen.wrong++;
      else throw reason;
    }
  });
  try {
    for (let count = 0; count < 8; count++) await client.create(stranger());
  } finally {
    isOver = true;
    await Promise.all(flood);
    await app.stop();
  }
  expect(seen.wrong).toBeGreaterThan(0);
  expect(seen.refused).toBeGreaterThan(0);
});
