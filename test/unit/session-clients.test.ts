import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Connection } from "../../src/calls/connection.ts";
import { SessionClients } from "../../src/calls/session-clients.ts";

let recorded: Record<string, string>[] = [];
let isDown = false;
let lookUps = 0;

beforeEach(() => {
  vi.useFakeTimers();
  [recorded, isDown, lookUps] = [[], false, 0];
});
afterEach(() => vi.useRealTimers());

function open(maxRemembered = 100_000): SessionClients {
  return new SessionClients({
    maxRemembered,
    clientAddressOf({ connection, headers }) {
      lookUps++;
      return String(headers["x-forwarded-for"] ?? connection.peer);
    },
    async record(addresses) {
      if (isDown) throw new Error("no store");
      recorded.push(Object.fromEntries(addresses));
    },
  });
}

function from(peer: string, forwardedFor?: string) {
  const headers = forwardedFor === undefined ? {} : { "x-forwarded-for": forwardedFor };
  return { connection: new Connection(peer), headers };
}

test("records together what has changed in a second, and nothing else", async () => {
  const clients = open();
  for (let n = 0; n < 100; n++) clients.called("a", from("192.0.2.1"));
  clients.called("b", from("192.0.2.2"));
  clients.called("b", from("192.0.2.3"));
  clients.calledFrom("c", "192.0.2.4");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(recorded).toEqual([{ a: "192.0.2.1", b: "192.0.2.3", c: "192.0.2.4" }]);
  expect(lookUps).toBe(3);
  clients.called("a", from("192.0.2.1"));
  clients.calledFrom("a", "192.0.2.1");
  clients.called("c", from("192.0.2.4"));
  await vi.advanceTimersByTimeAsync(5_000);
  expect(recorded).toHaveLength(1);
  clients.called("a", from("192.0.2.9"));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(recorded[1]).toEqual({ a: "192.0.2.9" });
});

test("sees another client behind the same proxy", async () => {
  const clients = open();
  clients.called("a", from("10.0.0.1", "192.0.2.1"));
  await vi.advanceTimersByTimeAsync(1_000);
  clients.called("a", from("10.0.0.1", "192.0.2.2"));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(recorded).toEqual([{ a: "192.0.2.1" }, { a: "192.0.2.2" }]);
});

test("tries again with the next call after a store did not answer", async () => {
  const clients = open();
  isDown = true;
  clients.called("a", from("192.0.2.1"));
  await vi.advanceTimersByTimeAsync(1_000);
  isDown = false;
  clients.called("a", from("192.0.2.1"));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(recorded).toEqual([{ a: "192.0.2.1" }]);
});

test("records no more than it may keep waiting, and the rest with later calls", async () => {
  const clients = open();
  for (let n = 0; n < 3_000; n++) clients.calledFrom(`session ${n}`, "192.0.2.1");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(Object.keys(recorded[0]!)).toHaveLength(2_000);
  for (let n = 0; n < 3_000; n++) clients.calledFrom(`session ${n}`, "192.0.2.1");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(Object.keys(recorded[1]!)).toHaveLength(1_000);
});

test("records an address once, however many sessions call", async () => {
  const clients = open(100);
  const count = 4_000;
  const call = async (from: number, to: number, address: string) => {
    for (let n = from; n < to; n++) {
      clients.calledFrom(`session ${n}`, address);
      if (n % 2_000 === 1_999) await vi.advanceTimersByTimeAsync(1_000);
    }
  };
  await call(0, count, "192.0.2.1");
  // Those that came before there were many may be recorded once more.
  await call(0, count, "192.0.2.1");
  recorded = [];
  await call(0, count, "192.0.2.1");
  expect(recorded).toEqual([]);
  // Another client is seen, and the first one again.
  await call(0, 2_000, "192.0.2.2");
  expect(Object.keys(recorded[0]!)).toHaveLength(2_000);
  await call(2_000, count, "192.0.2.1");
  await call(0, 2_000, "192.0.2.1");
  expect(recorded).toHaveLength(2);
  expect(recorded[1]).toMatchObject({ "session 0": "192.0.2.1" });
});

test("forgets what was not recorded, however many sessions call", async () => {
  const clients = open(100);
  for (let n = 0; n < 2_100; n++) {
    clients.calledFrom(`session ${n}`, "192.0.2.1");
    if (n === 1_999) await vi.advanceTimersByTimeAsync(1_000);
  }
  isDown = true;
  await vi.advanceTimersByTimeAsync(1_000);
  [isDown, recorded] = [false, []];
  clients.calledFrom("session 2099", "192.0.2.1");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(recorded).toEqual([{ "session 2099": "192.0.2.1" }]);
});

test("records what waits when it closes, and no address of a connection that is closed", async () => {
  const clients = open();
  clients.called("a", from("192.0.2.1"));
  clients.called("b", from(""));
  await clients.close();
  expect(recorded).toEqual([{ a: "192.0.2.1" }]);
  isDown = true;
  clients.called("c", from("192.0.2.1"));
  await clients.close();
});
