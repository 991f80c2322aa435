import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { type ProtocolClient, protocolClients, Refused, rpcClients } from "../support/protocol-clients.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";

const unavailable = "SERVICE_UNAVAILABLE downlease.store.unavailable";
const refusalCodes: Record<string, { grpc: string; http: string; api?: string }> = {
  NOT_FOUND: { grpc: "NotFound", http: "404" },
  NOT_ALLOWED_IN_CURRENT_STATE: { grpc: "FailedPrecondition", http: "400" },
  SERVICE_UNAVAILABLE: { grpc: "Unavailable", http: "503" },
  UNABLE_TO_ALLOCATE_RESOURCE: { grpc: "ResourceExhausted", http: "400", api: "500" },
  INVALID_ARGUMENT: { grpc: "InvalidArgument", http: "400" },
};

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const codes = refusalCodes[error.type];
    // In JSON-RPC an error of an operation is a result, and has no status.
    expect([codes?.grpc, codes?.http, codes?.api, codes && "result"]).toContain(error.status);
    return `${error.type} ${error.messageId}`;
  }
  return "accepted";
}

const missing = "NOT_FOUND downlease.session.not_found";
const notActive = "NOT_ALLOWED_IN_CURRENT_STATE downlease.session.not_active";
const badProgress = "INVALID_ARGUMENT downlease.argument.progress";

/** Each case runs over every protocol, with a new item. */
const cases: Record<string, (client: ProtocolClient, item: string) => Promise<void>> = {
  async "a new session is ACTIVE, at 0 percent, and pins the item's version"(client, item) {
    const before = Date.now();
    const id = await client.create(item);
    const session = await client.get(id);
    expect(session).toMatchObject({ id, library_item_id: item, client_progress: 0, state: "ACTIVE" });
    expect(session.library_item_content_version).toMatch(/^[0-9a-f]{16}$/);
    expect(session.error_message).toBeUndefined();
    expect(session.expiration_time).toBeGreaterThanOrEqual(before + 299_000);
  },
  async "keep-alive raises the progress and never lowers it"(client, item) {
    const id = await client.create(item);
    for (const [reported, stored] of [
      [10, 10],
      [40, 40],
      [20, 40],
      [40, 40],
      [undefined, 40],
      [0, 40],
      [100, 100],
      [undefined, 100],
    ] as const) {
      await client.keepAlive(id, reported);
      expect((await client.get(id)).client_progress).toBe(stored);
    }
    expect((await client.get(id)).state).toBe("ACTIVE");
  },
  async "keep-alive moves the expiration forward"(client, item) {
    const id = await client.create(item);
    const first = (await client.get(id)).expiration_time;
    await eventually("a later expiration", async () => {
      await client.keepAlive(id);
      return (await client.get(id)).expiration_time > first;
    });
  },
  async "a progress out of range is refused and changes nothing"(client, item) {
    const id = await client.create(item);
    await client.keepAlive(id, 30);
    const before = await client.get(id);
    for (const progress of [-1, 101, 2 ** 40])
      expect(await refusal(client.keepAlive(id, progress))).toBe(badProgress);
    expect(await client.get(id)).toEqual(before);
  },
  async "cancel is final"(client, item) {
    const id = await client.create(item);
    await client.keepAlive(id, 7);
    await client.cancel(id);
    expect(await client.get(id)).toMatchObject({ state: "CANCELED", client_progress: 7 });
    expect(await refusal(client.keepAlive(id, 8))).toBe(notActive);
    expect(await refusal(client.keepAlive(id, 800))).toBe(notActive);
    expect(await refusal(client.cancel(id))).toBe(notActive);
    expect(await refusal(client.fail(id, "late"))).toBe(notActive);
    expect(await client.get(id)).toMatchObject({ state: "CANCELED", client_progress: 7 });
  },
  async "fail is final and keeps the client's words"(client, item) {
    const id = await client.create(item);
    await client.fail(id, "Platte voll: <disk-0> & 100 % 🙁");
    expect(await client.get(id)).toMatchObject({
      state: "ERROR",
      error_message: "Platte voll: <disk-0> & 100 % 🙁",
    });
    expect(await refusal(client.cancel(id))).toBe(notActive);
    expect(await refusal(client.keepAlive(id))).toBe(notActive);
  },
  async "delete removes in any state"(client, item) {
    const ids = [await client.create(item), await client.create(item), await client.create(item)] as const;
    await client.cancel(ids[1]);
    await client.fail(ids[2], "x");
    for (const id of ids) {
      await client.delete(id);
      expect(await refusal(client.get(id))).toBe(missing);
      expect(await refusal(client.delete(id))).toBe(missing);
    }
  },
  async "a missing session is not found, with any arguments"(client) {
    for (const id of ["obj-103", "uuid:uuid", "a/b c?d#e%2F", "é".repeat(128), "__proto__"]) {
      expect(await refusal(client.get(id))).toBe(missing);
      expect(await refusal(client.keepAlive(id))).toBe(missing);
      expect(await refusal(client.keepAlive(id, 500))).toBe(missing);
      expect(await refusal(client.cancel(id))).toBe(missing);
      expect(await refusal(client.fail(id, "x"))).toBe(missing);
      expect(await refusal(client.delete(id))).toBe(missing);
    }
  },
  async "an identifier has 1 to 256 bytes"(client) {
    expect(await refusal(client.get("x".repeat(256)))).toBe(missing);
    for (const id of ["x".repeat(257), "é".repeat(129)]) {
      expect(await refusal(client.get(id))).toBe("INVALID_ARGUMENT downlease.argument.identifier");
    }
  },
  async "a client token makes create idempotent"(client, item) {
    const token = crypto.randomUUID();
    const id = await client.create(item, token);
    expect(await client.create(item, token.toUpperCase())).toBe(id);
    await client.cancel(id);
    expect(await client.create(item, token)).toBe(id);
    expect((await client.get(id)).state).toBe("CANCELED");
    await client.delete(id);
    expect(await client.create(item, token)).toBe(id);
    expect((await client.get(id)).state).toBe("ACTIVE");
    expect(await client.create(item, crypto.randomUUID())).not.toBe(id);
    expect(await refusal(client.create(item, "client_token"))).toBe(
      "INVALID_ARGUMENT downlease.argument.client_token",
    );
  },
  async "create requires an existing item"(client) {
    expect(await refusal(client.create("nobody"))).toBe("NOT_FOUND downlease.item.not_found");
    expect(await refusal(client.create(undefined))).toBe("INVALID_ARGUMENT downlease.argument.missing");
  },
  async "a client's error message is kept up to 1,024 bytes"(client, item) {
    const id = await client.create(item);
    await client.fail(id, `disk full: ${"é€𝄞".repeat(250)}`);
    const { error_message: message = "" } = await client.get(id);
    expect(message).toMatch(/^disk full: (é€𝄞)+é?€?…$/);
    expect([1_024, 1_023, 1_022, 1_021]).toContain(Buffer.byteLength(message));
  },
  async "list gives the sessions of an item in any state, oldest first"(client, item) {
    expect(await client.list(item)).toEqual([]);
    const ids = [await client.create(item), await client.create(item), await client.create(item)];
    await client.cancel(ids[1]!);
    expect(await client.list(item)).toEqual(ids);
    await client.delete(ids[0]!);
    expect(await client.list(item)).toEqual(ids.slice(1));
    expect(await client.list()).toEqual(expect.arrayContaining(ids.slice(1)));
    expect(await refusal(client.list("nobody"))).toBe("NOT_FOUND downlease.item.not_found");
  },
};

/** Only RPCs use the fast lane, which a flag turns off. */
const services = storeKinds.flatMap((kind) => [
  { kind, lane: "with the fast lane", fastLane: true, clients: protocolClients },
  { kind, lane: "without the fast lane", fastLane: false, clients: rpcClients },
]);

describe.each(services)("$kind, $lane", ({ kind, fastLane, clients }) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ store: kind, fastLane });
  });
  afterAll(() => app.stop());

  describe.each(Object.keys(clients))("%s", (name) => {
    test.each(Object.keys(cases))("%s", async (title) => {
      await cases[title]!(clients[name]!(app.url), await app.addItem());
    });
  });

  test("sessions created over one protocol are visible over every other", async () => {
    const all = Object.values(clients).map((open) => open(app.url));
    const item = await app.addItem();
    const id = await all[0]!.create(item);
    for (const [index, client] of all.entries()) {
      await client.keepAlive(id, index + 1);
      for (const other of all) expect((await other.get(id)).client_progress).toBe(index + 1);
    }
  });
});

const full = "UNABLE_TO_ALLOCATE_RESOURCE downlease.session.too_many";

describe.each(services)(
  "a principal with two sessions at most: $kind, $lane",
  ({ kind, fastLane, clients }) => {
    let app: TestApp;
    /** Of its own: in the one that tests share, everybody's principal has sessions. */
    let redis: RedisServer | undefined;
    beforeAll(async () => {
      redis = kind === "Redis" ? await startRedis() : undefined;
      const settings = { maxSessionsPerPrincipal: "2" };
      app = await startTestApp({ ...(redis && { redisUrl: redis.url }), fastLane, settings });
    });
    afterAll(async () => {
      await app.stop();
      await redis?.stop();
    });

    test.each(Object.keys(clients))("%s", async (name) => {
      const client = clients[name]!(app.url);
      const item = await app.addItem();
      const tokens = [crypto.randomUUID(), crypto.randomUUID()];
      const ids = [];
      for (const token of tokens) ids.push(await client.create(item, token));
      expect(await refusal(client.create(item))).toBe(full);
      await expect(client.create(item)).rejects.toThrow(/There are 2 .* --max-sessions-per-principal/);
      await client.cancel(ids[0]!);
      expect(await refusal(client.create(item, crypto.randomUUID()))).toBe(full);
      expect(await client.create(item, tokens[1])).toBe(ids[1]);
      await client.keepAlive(ids[1]!);
      for (const id of ids) {
        await client.delete(id);
        await client.delete(await client.create(item));
      }
    });
  },
);

describe("a Redis that is down", () => {
  let redis: RedisServer;
  let app: TestApp;
  let item: string;
  let id: string;
  beforeAll(async () => {
    redis = await startRedis({ appendonly: true });
    app = await startTestApp({ redisUrl: redis.url });
    item = await app.addItem();
    id = await protocolClients.gRPC!(app.url).create(item);
  });
  afterAll(async () => {
    await app.stop();
    await redis.stop();
  });

  test.each(Object.keys(protocolClients))(
    "is service_unavailable, never not_found, until it is back: %s",
    async (name) => {
      const client = protocolClients[name]!(app.url);
      await redis.kill();
      expect(await refusal(client.keepAlive(id))).toBe(unavailable);
      expect(await refusal(client.get(id))).toBe(unavailable);
      expect(await refusal(client.list())).toBe(unavailable);
      expect(await refusal(client.create(item))).toBe(unavailable);
      expect(await refusal(client.cancel(id))).toBe(unavailable);
      expect(await refusal(client.fail(id, "x"))).toBe(unavailable);
      expect(await refusal(client.delete(id))).toBe(unavailable);
      await redis.restart();
      await eventually(
        "the store to be back",
        async () => (await refusal(client.keepAlive(id))) === "accepted",
      );
      expect((await client.get(id)).state).toBe("ACTIVE");
    },
  );
});

describe.each(storeKinds)("%s with a lease of a second", (kind) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ store: kind, leaseSeconds: 1 });
  });
  afterAll(() => app.stop());

  // Side by side, because each does little but wait.
  test.concurrent.each(Object.keys(protocolClients))("an expired session is not found: %s", async (name) => {
    const client = protocolClients[name]!(app.url);
    const item = await app.addItem();
    const [silent, canceled] = [await client.create(item), await client.create(item)];
    await client.cancel(canceled);
    for (const id of [silent, canceled]) {
      await eventually(`${id} to expire`, async () => (await refusal(client.get(id))) === missing);
      expect(await refusal(client.keepAlive(id, 1))).toBe(missing);
      expect(await refusal(client.cancel(id))).toBe(missing);
      expect(await refusal(client.fail(id, "x"))).toBe(missing);
      expect(await refusal(client.delete(id))).toBe(missing);
    }
    expect(await client.list(item)).toEqual([]);
  });
});
