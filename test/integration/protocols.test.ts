import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { type ProtocolClient, protocols, Refused, rpcClients } from "../support/protocol-clients.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";

const unavailable = "SERVICE_UNAVAILABLE downlease.store.unavailable";
const refusalCodes: Record<string, { grpc: string; http: string }> = {
  NOT_FOUND: { grpc: "NotFound", http: "404" },
  NOT_ALLOWED_IN_CURRENT_STATE: { grpc: "FailedPrecondition", http: "400" },
  SERVICE_UNAVAILABLE: { grpc: "Unavailable", http: "503" },
  INVALID_ARGUMENT: { grpc: "InvalidArgument", http: "400" },
};

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const codes = refusalCodes[error.type];
    // In JSON-RPC an error of an operation is a result, and has no status.
    expect([codes?.grpc, codes?.http, codes && "result"]).toContain(error.status);
    return `${error.type} ${error.messageId}`;
  }
  return "accepted";
}

const missing = "NOT_FOUND downlease.session.not_found";
const notActive = "NOT_ALLOWED_IN_CURRENT_STATE downlease.session.not_active";
const badProgress = "INVALID_ARGUMENT downlease.argument.progress";

/** Each case on every protocol; `item` is an item of its own. */
const cases: Record<string, (protocol: ProtocolClient, item: string) => Promise<void>> = {
  async "a new session is ACTIVE, at 0 percent, and pins the item's version"(protocol, item) {
    const before = Date.now();
    const session = await protocol.get(await protocol.create(item));
    expect(session).toMatchObject({ library_item_id: item, client_progress: 0, state: "ACTIVE" });
    expect(session.library_item_content_version).toMatch(/^[0-9a-f]{16}$/);
    expect(session.error_message).toBeUndefined();
    expect(session.expiration_time).toBeGreaterThanOrEqual(before + 299_000);
  },
  async "keep-alive raises the progress and never lowers it"(protocol, item) {
    const id = await protocol.create(item);
    for (const [told, stored] of [
      [10, 10],
      [40, 40],
      [20, 40],
      [40, 40],
      [undefined, 40],
      [0, 40],
      [100, 100],
      [undefined, 100],
    ] as const) {
      await protocol.keepAlive(id, told);
      expect((await protocol.get(id)).client_progress).toBe(stored);
    }
    expect((await protocol.get(id)).state).toBe("ACTIVE");
  },
  async "keep-alive moves the expiration forward"(protocol, item) {
    const id = await protocol.create(item);
    const first = (await protocol.get(id)).expiration_time;
    await eventually("a later expiration", async () => {
      await protocol.keepAlive(id);
      return (await protocol.get(id)).expiration_time > first;
    });
  },
  async "a progress out of range is refused and changes nothing"(protocol, item) {
    const id = await protocol.create(item);
    await protocol.keepAlive(id, 30);
    const before = await protocol.get(id);
    for (const progress of [-1, 101, 2 ** 40])
      expect(await refusal(protocol.keepAlive(id, progress))).toBe(badProgress);
    expect(await protocol.get(id)).toEqual(before);
  },
  async "cancel is final"(protocol, item) {
    const id = await protocol.create(item);
    await protocol.keepAlive(id, 7);
    await protocol.cancel(id);
    expect(await protocol.get(id)).toMatchObject({ state: "CANCELED", client_progress: 7 });
    expect(await refusal(protocol.keepAlive(id, 8))).toBe(notActive);
    expect(await refusal(protocol.keepAlive(id, 800))).toBe(notActive);
    expect(await refusal(protocol.cancel(id))).toBe(notActive);
    expect(await refusal(protocol.fail(id, "late"))).toBe(notActive);
    expect(await protocol.get(id)).toMatchObject({ state: "CANCELED", client_progress: 7 });
  },
  async "fail is final and keeps the client's words"(protocol, item) {
    const id = await protocol.create(item);
    await protocol.fail(id, "Platte voll: <disk-0> & 100 % 🙁");
    expect(await protocol.get(id)).toMatchObject({
      state: "ERROR",
      error_message: "Platte voll: <disk-0> & 100 % 🙁",
    });
    expect(await refusal(protocol.cancel(id))).toBe(notActive);
    expect(await refusal(protocol.keepAlive(id))).toBe(notActive);
  },
  async "delete removes in any state"(protocol, item) {
    const ids = [
      await protocol.create(item),
      await protocol.create(item),
      await protocol.create(item),
    ] as const;
    await protocol.cancel(ids[1]);
    await protocol.fail(ids[2], "x");
    for (const id of ids) {
      await protocol.delete(id);
      expect(await refusal(protocol.get(id))).toBe(missing);
      expect(await refusal(protocol.delete(id))).toBe(missing);
    }
  },
  async "what does not exist is not found, whatever the arguments"(protocol) {
    for (const id of ["obj-103", "uuid:uuid", "a/b c?d#e%2F", "é".repeat(128), "__proto__"]) {
      expect(await refusal(protocol.get(id))).toBe(missing);
      expect(await refusal(protocol.keepAlive(id))).toBe(missing);
      expect(await refusal(protocol.keepAlive(id, 500))).toBe(missing);
      expect(await refusal(protocol.cancel(id))).toBe(missing);
      expect(await refusal(protocol.fail(id, "x"))).toBe(missing);
      expect(await refusal(protocol.delete(id))).toBe(missing);
    }
  },
  async "an identifier has 1 to 256 bytes"(protocol) {
    expect(await refusal(protocol.get("x".repeat(256)))).toBe(missing);
    for (const id of ["x".repeat(257), "é".repeat(129)]) {
      expect(await refusal(protocol.get(id))).toBe("INVALID_ARGUMENT downlease.argument.identifier");
    }
  },
  async "a client token makes creation repeatable"(protocol, item) {
    const token = crypto.randomUUID();
    const id = await protocol.create(item, token);
    expect(await protocol.create(item, token.toUpperCase())).toBe(id);
    await protocol.cancel(id);
    expect(await protocol.create(item, token)).toBe(id);
    expect((await protocol.get(id)).state).toBe("CANCELED");
    await protocol.delete(id);
    expect(await protocol.create(item, token)).toBe(id);
    expect((await protocol.get(id)).state).toBe("ACTIVE");
    expect(await protocol.create(item, crypto.randomUUID())).not.toBe(id);
    expect(await refusal(protocol.create(item, "client_token"))).toBe(
      "INVALID_ARGUMENT downlease.argument.client_token",
    );
  },
  async "creation needs an item that exists"(protocol) {
    expect(await refusal(protocol.create("nobody"))).toBe("NOT_FOUND downlease.item.not_found");
    expect(await refusal(protocol.create(undefined))).toBe("INVALID_ARGUMENT downlease.argument.missing");
  },
  async "list gives the sessions of an item in any state, oldest first"(protocol, item) {
    expect(await protocol.list(item)).toEqual([]);
    const ids = [await protocol.create(item), await protocol.create(item), await protocol.create(item)];
    await protocol.cancel(ids[1]!);
    expect(await protocol.list(item)).toEqual(ids);
    await protocol.delete(ids[0]!);
    expect(await protocol.list(item)).toEqual(ids.slice(1));
    expect(await protocol.list()).toEqual(expect.arrayContaining(ids.slice(1)));
    expect(await refusal(protocol.list("nobody"))).toBe("NOT_FOUND downlease.item.not_found");
  },
};

/** A flag turns the fast lane off, which REST has no part in. */
const services = storeKinds.flatMap((kind) => [
  { kind, lane: "with the fast lane", fastLane: true, protocols },
  { kind, lane: "without the fast lane", fastLane: false, protocols: rpcClients },
]);

describe.each(services)("$kind, $lane", ({ kind, fastLane, protocols }) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ store: kind, fastLane });
  });
  afterAll(() => app.stop());

  describe.each(Object.keys(protocols))("%s", (name) => {
    test.each(Object.keys(cases))("%s", async (title) => {
      await cases[title]!(protocols[name]!(app.url), await app.addItem());
    });
  });

  test("sessions made at one protocol are seen at every other", async () => {
    const clients = Object.values(protocols).map((open) => open(app.url));
    const item = await app.addItem();
    const id = await clients[0]!.create(item);
    for (const [index, client] of clients.entries()) {
      await client.keepAlive(id, index + 1);
      for (const other of clients) expect((await other.get(id)).client_progress).toBe(index + 1);
    }
  });
});

describe("a Redis that is down", () => {
  let redis: RedisServer;
  let app: TestApp;
  let item: string;
  let id: string;
  beforeAll(async () => {
    redis = await startRedis({ appendonly: true });
    app = await startTestApp({ redisUrl: redis.url });
    item = await app.addItem();
    id = await protocols.gRPC!(app.url).create(item);
  });
  afterAll(async () => {
    await app.stop();
    await redis.stop();
  });

  test.each(Object.keys(protocols))(
    "is service_unavailable, never not_found, and then forgotten: %s",
    async (name) => {
      const protocol = protocols[name]!(app.url);
      await redis.kill();
      expect(await refusal(protocol.keepAlive(id))).toBe(unavailable);
      expect(await refusal(protocol.get(id))).toBe(unavailable);
      expect(await refusal(protocol.list())).toBe(unavailable);
      expect(await refusal(protocol.create(item))).toBe(unavailable);
      expect(await refusal(protocol.cancel(id))).toBe(unavailable);
      expect(await refusal(protocol.fail(id, "x"))).toBe(unavailable);
      expect(await refusal(protocol.delete(id))).toBe(unavailable);
      await redis.restart();
      await eventually(
        "the store to be back",
        async () => (await refusal(protocol.keepAlive(id))) === "accepted",
      );
      expect((await protocol.get(id)).state).toBe("ACTIVE");
    },
  );
});

describe.each(storeKinds)("%s with a lease of 300 ms", (kind) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ store: kind, leaseSeconds: 0.3 });
  });
  afterAll(() => app.stop());

  // Side by side, because each does little but wait.
  test.concurrent.each(Object.keys(protocols))("an expired session is not found: %s", async (name) => {
    const protocol = protocols[name]!(app.url);
    const item = await app.addItem();
    const [silent, canceled] = [await protocol.create(item), await protocol.create(item)];
    await protocol.cancel(canceled);
    for (const id of [silent, canceled]) {
      await eventually(`${id} to expire`, async () => (await refusal(protocol.get(id))) === missing);
      expect(await refusal(protocol.keepAlive(id, 1))).toBe(missing);
      expect(await refusal(protocol.cancel(id))).toBe(missing);
      expect(await refusal(protocol.fail(id, "x"))).toBe(missing);
      expect(await refusal(protocol.delete(id))).toBe(missing);
    }
    expect(await protocol.list(item)).toEqual([]);
  });
});
