import { once } from "node:events";
import { connect, createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { keepStreamsInTable, StreamTable } from "../../src/server/http2-internals.ts";

/** Ids that share places, that are pushed (even), and that are far apart. */
const ids = fc.oneof(
  fc.integer({ min: 1, max: 80 }),
  fc.integer({ min: 1, max: 40 }).map((n) => n * 64 + 1),
);
const operations = fc.array(fc.tuple(fc.constantFrom("set", "set", "delete", "clear"), ids), {
  maxLength: 200,
});

test("a table of streams does what a map does", () => {
  fc.assert(
    fc.property(operations, (history) => {
      const map = new Map<number, object>();
      const table = new StreamTable();
      for (const [operation, id] of history) {
        const stream = { id };
        if (operation === "set") {
          map.set(id, stream);
          table.set(id, stream);
        } else if (operation === "delete") expect(table.delete(id)).toBe(map.delete(id));
        else if (id === 1) {
          map.clear();
          table.clear();
        }
        expect(table.size).toBe(map.size);
        expect(table.get(id)).toBe(map.get(id));
        expect(table.has(id)).toBe(map.has(id));
      }
      const byId = <T>(entries: Iterable<[number, T]>) =>
        [...entries].sort(([left], [right]) => left - right);
      expect(byId(table)).toEqual(byId(map));
      expect([...table.keys()].length).toBe(map.size);
      expect(new Set(table.values())).toEqual(new Set(map.values()));
      const visited = new Map<number, object>();
      table.forEach((stream, id) => void visited.set(id, stream));
      expect(byId(visited)).toEqual(byId(map));
    }),
  );
});

test("a stream that ends while all are visited is no trouble", () => {
  const table = new StreamTable();
  for (let id = 1; id < 100; id += 2) table.set(id, {});
  table.forEach((_, id) => void table.delete(id));
  expect(table.size).toBe(0);
});

test("streams come and go without new tables of the map below, beside one that stays", () => {
  const table = new StreamTable();
  let below = 0;
  const { set } = Map.prototype;
  Map.prototype.set = function (this: Map<unknown, unknown>, ...entry) {
    if (this === table) below++;
    return set.apply(this, entry);
  };
  try {
    table.set(1, {});
    for (let id = 3; id < 10_000; id += 2) {
      table.set(id, {});
      if (id > 50) table.delete(id - 48);
    }
  } finally {
    Map.prototype.set = set;
  }
  // Those that meet the one that stays: the table has 64 places.
  expect(below).toBeLessThan(10_000 / 2 / 60);
});

test("this release of Node.js keeps the streams of a session where they are looked for", async () => {
  const server = createServer();
  let session!: ServerHttp2Session;
  server.on("session", (opened) => {
    session = opened;
    keepStreamsInTable(opened);
  });
  const tableOf = (of: ServerHttp2Session) => {
    const key = Object.getOwnPropertySymbols(of).find(({ description }) => description === "state")!;
    return (of as unknown as Record<symbol, { streams: Map<number, object> }>)[key]!.streams;
  };
  const held: ServerHttp2Stream[] = [];
  server.on("stream", (stream, headers) => {
    if (headers[":path"] === "/held") held.push(stream);
    else stream.respond({ ":status": 204 }, { endStream: true });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    const waiting = client.request({ ":path": "/held" });
    const ended = once(waiting, "close");
    for (let count = 0; count < 100; count++) {
      const request = client.request({ ":path": "/" });
      const [headers] = await once(request, "response");
      expect(headers[":status"]).toBe(204);
      request.resume();
      await once(request, "close");
    }
    const table = tableOf(session);
    expect(table).toBeInstanceOf(StreamTable);
    expect(table.get(held[0]!.id!)).toBe(held[0]);
    session.destroy();
    await ended;
    expect(held[0]!.destroyed).toBe(true);
  } finally {
    client.destroy();
    server.close();
  }
});
