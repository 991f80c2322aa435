import { setTimeout as delay } from "node:timers/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SessionService } from "../../gen/cis/v1/session_pb.ts";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ConfigurationService } from "../../gen/content/v1/configuration_pb.ts";
import { AdminService } from "../../gen/downlease/admin/v1/admin_pb.ts";
import { type StoreKind, startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

function clientsOf(app: TestApp) {
  const transport = createGrpcTransport({ baseUrl: app.url });
  return {
    admin: createClient(AdminService, transport),
    sessions: createClient(DownloadSessionService, transport),
    logins: createClient(SessionService, transport),
    configuration: createClient(ConfigurationService, transport),
  };
}

type Clients = ReturnType<typeof clientsOf>;

describe.each(storeKinds)("settings that change while two replicas serve, %s", (store: StoreKind) => {
  let directory: TempDir;
  let redis: Awaited<ReturnType<typeof startRedis>> | undefined;
  let apps: TestApp[];
  let replicas: Clients[];
  let itemId: string;

  beforeEach(async () => {
    directory = await tempDir();
    redis = store === "Redis" ? await startRedis() : undefined;
    apps = [];
    replicas = [await start(), await start()];
    itemId = await apps[0]!.addItem();
  });
  afterEach(async () => {
    for (const app of apps) await app.stop();
    await redis?.stop();
    await directory.remove();
  });

  async function start(): Promise<Clients> {
    const sqlitePath = `${directory.path}/sessions.db`;
    const contentRoot = apps[0]?.contentRoot;
    const app = await startTestApp({
      store,
      ...(redis !== undefined && { redisUrl: redis.url }),
      settings: { sqlitePath, ...(contentRoot !== undefined && { contentRoot }) },
    });
    apps.push(app);
    return clientsOf(app);
  }

  const createSession = async ({ sessions }: Clients): Promise<string> =>
    (await sessions.create({ createSpec: { libraryItemId: itemId } })).downloadSessionId;

  /** Milliseconds from before the renewal to the end of the lease. */
  async function renew({ sessions }: Clients, downloadSessionId: string): Promise<number> {
    const before = Date.now();
    const { expirationTime } = await sessions.keepAlive({ downloadSessionId });
    return timestampMs(expirationTime!) - before;
  }

  test("a longer lease is that of every renewal, a shorter one breaks no promise, and no call fails", async () => {
    const [first, second] = replicas as [Clients, Clients];
    const ids = await Promise.all(Array.from({ length: 40 }, () => createSession(first)));
    const lengths: number[] = [];
    let isOver = false;
    const heartbeats = Promise.all(
      ids.map(async (id, index) => {
        while (!isOver) {
          lengths.push(await renew(index % 2 ? first : second, id));
          await delay(10);
        }
      }),
    );
    await first.admin.updateSettings({ values: { leaseSeconds: 900 } });
    await eventually("the other replica to follow", async () => (await renew(second, ids[0]!)) > 890_000);
    lengths.length = 0;
    await eventually("renewals through both", () => lengths.length > 100);
    isOver = true;
    await heartbeats;
    expect(Math.min(...lengths)).toBeGreaterThan(890_000);

    await second.admin.updateSettings({ values: { leaseSeconds: 30 } });
    await eventually("the other replica to follow", async () => {
      const id = await createSession(first);
      return (await renew(first, id)) < 40_000;
    });
    for (const replica of replicas) expect(await renew(replica, ids[0]!)).toBeGreaterThan(800_000);
  });

  test("every replica follows, and they outlive every process", async () => {
    const [first, second] = replicas as [Clients, Clients];
    const before = (await first.admin.getSettings({})).settings!;
    expect(before.version).toBe(0n);
    const { settings } = await first.admin.updateSettings({
      version: 0n,
      values: {
        maxSessionsPerPrincipal: 1n,
        loginsPerPrincipal: 2n,
        maxTransfers: 17n,
        retentionSeconds: 900,
      },
    });
    expect(settings!.version).toBe(1n);
    const downloadSessionId = await createSession(first);
    await eventually("the other replica to have the quota", () =>
      createSession(second).then(
        () => false,
        ({ code }) => code === Code.ResourceExhausted,
      ),
    );
    await second.sessions.cancel({ downloadSessionId });
    const { downloadSession } = await second.sessions.get({ downloadSessionId });
    expect(timestampMs(downloadSession!.expirationTime!) - Date.now()).toBeGreaterThan(800_000);
    const logIns = await Promise.allSettled([1, 2, 3].map(() => second.logins.create({})));
    expect(logIns.filter(({ status }) => status === "rejected")).toHaveLength(1);
    expect((await second.configuration.get({})).model?.transferThreadsPoolSize).toBe(17n);
    await expect(
      second.admin.updateSettings({ version: 0n, values: { maxTransfers: 3n } }),
    ).rejects.toMatchObject({ code: Code.Aborted });

    const sources = async ({ admin }: Clients) =>
      (await admin.getSettings({}))
        .settings!.settings.filter(({ source }) => source === "changed")
        .map(({ name, value }) => `${name}=${value}`);
    const changed = [
      "retention_seconds=900",
      "max_sessions_per_principal=1",
      "logins_per_principal=2",
      "max_transfers=17",
    ];
    expect(await sources(second)).toEqual(changed);
    const third = await start();
    expect(await sources(third)).toEqual(changed);
    await third.admin.updateSettings({ resets: ["max_sessions_per_principal"] });
    expect(await createSession(third)).toBeTypeOf("string");
  });
});
