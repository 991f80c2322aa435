import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { checkBackendUrl, openBackend, sqliteUrl } from "../../src/stores/open.ts";
import { parseRedisUrl } from "../../src/stores/redis/url.ts";
import { longLeaseTerms as leaseTerms, longLoginTerms as loginTerms } from "../support/terms.ts";

const options = { leaseTerms, loginTerms, maxDowntimeMs: 0, log: pino({ level: "silent" }) };

describe("the URL of a backend", () => {
  test.each([
    "redis://host",
    "rediss://user:secret@host:6380/1",
    "redis+cluster://a:1,b:2",
    "rediss+sentinel://a,b/master/2",
    sqliteUrl("downlease.db"),
    sqliteUrl(":memory:"),
  ])("%s is accepted", (url) => {
    expect(() => checkBackendUrl(url)).not.toThrow();
  });

  test.each([
    ["downlease.db", "must start with one of redis:, rediss:"],
    ["postgres://user:secret@host", "must start with one of redis:, rediss:"],
    ["sqlite:", "must name a file, as in sqlite:downlease.db"],
    ["redis:host", "must look like redis://host:port"],
    ["redis://user:secret@a:1,b:2", "names several hosts; use redis+cluster:// for a cluster"],
    ["redis://user:secret@host:0", "has a bad host 'host:0'; write host:port"],
    ["redis://user:secret@host/one", "must end in the number of a database"],
    ["redis+cluster://user:secret@host/1", "must not name a database"],
    ["redis+sentinel://user:secret@host", "must end in the name of the master"],
    ["redis://user:%zz@host", "are not percent-encoded"],
  ])("%s is refused, its secret not repeated", async (url, message) => {
    expect(() => checkBackendUrl(url)).toThrow(message);
    expect(() => checkBackendUrl(url)).not.toThrow("secret");
    await expect(openBackend(url, options)).rejects.toThrow(message);
  });

  test("names the servers of Redis", () => {
    expect(parseRedisUrl("rediss+sentinel://us%3Aer:p%40ss@a,[::1]:2/master/3")).toEqual({
      kind: "sentinel",
      nodes: [
        { host: "a", port: 26379 },
        { host: "::1", port: 2 },
      ],
      tls: true,
      username: "us:er",
      password: "p@ss",
      db: 3,
      master: "master",
    });
  });
});

test("an SQLite backend opens by its URL and closes once", async () => {
  const backend = await openBackend(sqliteUrl(":memory:"), options);
  await backend.probe();
  await backend[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
  await expect(backend.probe()).rejects.toMatchObject({ messageId: "downlease.store.unavailable" });
});
