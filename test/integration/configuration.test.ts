import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { JsonObject } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConfigurationService } from "../../gen/content/v1/configuration_pb.ts";
import { loginHeader } from "../../src/calls/credentials.ts";
import { type StoreKind, startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { download } from "../support/download.ts";
import { eventually } from "../support/eventually.ts";
import { linkTo } from "../support/links.ts";
import { methodClients, tableClients } from "../support/method-clients.ts";
import { startRedis } from "../support/redis-server.ts";
import { addItem, openSession } from "../support/session-files.ts";
import { tempDir } from "../support/temp-dir.ts";

const { get, update } = ConfigurationService.method;
const clients = Object.entries({ ...methodClients, ...tableClients });
const bandwidth = "transfer_throttling_bandwidth_total";
/** Through 4 Mbit/s it takes a second. */
const fileBytes = 500_000;

async function logIn(url: string, name: string): Promise<Record<string, string>> {
  const headers = { authorization: basic(name, "secret") };
  const response = await fetch(`${url}/api/session`, { method: "POST", headers });
  return { [loginHeader]: (await response.json()) as string };
}

describe.each(storeKinds)("the configuration, %s", (kind: StoreKind) => {
  let settings: Record<string, string>;
  let redisUrl: string | undefined;
  let ends: (() => Promise<unknown>)[];

  beforeEach(async () => {
    const dir = await tempDir();
    ends = [() => dir.remove()];
    const usersFile = join(dir.path, "users");
    const hash = cheapHash("secret");
    await writeFile(usersFile, `root:${hash}:admin\nalice:${hash}:\n`, { mode: 0o600 });
    settings = { usersFile, transferBandwidthMbps: "7", maxTransfers: "90" };
    if (kind === "Redis") {
      const redis = await startRedis();
      redisUrl = redis.url;
      ends.push(() => redis.stop());
    } else settings.sqlitePath = join(dir.path, "sessions.db");
  });
  afterEach(async () => {
    for (const end of ends.reverse()) await end();
  });

  async function start(more: Record<string, string> = {}): Promise<TestApp> {
    const app = await startTestApp({
      store: kind,
      ...(redisUrl !== undefined && { redisUrl }),
      settings: { ...settings, ...more },
    });
    ends.push(() => app.stop());
    return app;
  }

  test("is the same on every protocol, for every principal, and only an admin changes it", async () => {
    const app = await start();
    const [root, alice] = await Promise.all([logIn(app.url, "root"), logIn(app.url, "alice")]);
    for (const [index, [name, client]] of clients.entries()) {
      const call = client(app.url);
      const before = (await call(get, {}, alice)) as JsonObject;
      expect(before, name).toMatchObject({
        automatic_sync_enabled: "false",
        automatic_sync_start_hour: "0",
        maximum_concurrent_item_syncs: "0",
        transfer_threads_pool_size: "90",
        transfer_threads_pool_size_setting: { name: "transfer_threads_pool_size", reboot_required: "false" },
        [bandwidth]: index === 0 ? "7" : String(99 + index),
      });
      const model = { [bandwidth]: 100 + index };
      expect(await call(update, { model }, alice), name).toMatch(
        /403 .*downlease.configuration.role|PermissionDenied/,
      );
      expect(await call(update, { model }, root), name).toBeOneOf([undefined, null, {}]);
    }
  });

  test("takes back what it has sent, and refuses what it can't do without changing anything", async () => {
    const app = await start();
    const headers = { ...(await logIn(app.url, "root")), "content-type": "application/json" };
    const url = `${app.url}/api/content/configuration`;
    const read = async () => (await (await fetch(url, { headers })).json()) as JsonObject;
    const patch = async (model: object) => {
      const response = await fetch(url, { method: "PATCH", headers, body: JSON.stringify(model) });
      const text = await response.text();
      return [response.status, text && JSON.parse(text).messages[0].id];
    };
    const sent = await read();
    expect(
      await patch({ ...sent, [bandwidth]: 0, [`${bandwidth}_setting`]: { constraints: [{ MIN: "0" }] } }),
    ).toEqual([204, ""]);
    expect(await read()).toEqual({ ...sent, [bandwidth]: 0 });
    expect(await patch({})).toEqual([204, ""]);
    for (const wrong of [{ [bandwidth]: -1 }, { [bandwidth]: 1_000_001 }, { [bandwidth]: 1.5 }]) {
      expect(await patch(wrong)).toEqual([400, "downlease.argument.type"]);
    }
    expect(await patch({ [bandwidth]: 5, automatic_sync_enabled: true })).toEqual([
      400,
      "downlease.configuration.read_only",
    ]);
    expect(await read()).toEqual({ ...sent, [bandwidth]: 0 });
  });

  test("limits running downloads of another replica, and outlives every process", async () => {
    const first = await start();
    const second = await start({ contentRoot: first.contentRoot });
    const root = await logIn(first.url, "root");
    const change = async (mbps: number) =>
      void (await methodClients.gRPC!(first.url)(update, { model: { [bandwidth]: mbps } }, root));
    const shown = async (url: string) =>
      ((await methodClients.gRPC!(url)(get, {}, root)) as JsonObject)[bandwidth];
    const itemId = await addItem(first.contentRoot, { "disk.bin": Buffer.alloc(fileBytes, "x") });
    const link = await linkTo(second.url, await openSession(second.url, itemId, root), "disk.bin", root);
    await change(4);
    await eventually("the other replica to follow", async () => {
      const from = performance.now();
      const { isWhole } = await download("HTTP/1.1", link);
      expect(isWhole).toBe(true);
      return performance.now() - from > 600;
    });
    // So slow that the file takes minutes, until it is no longer limited.
    await change(1);
    await eventually("the other replica to have it", async () => (await shown(second.url)) === "1");
    let isDone = false;
    const running = Promise.all([1, 2, 3].map(() => download("HTTP/1.1", link))).then((downloads) => {
      isDone = true;
      return downloads;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(isDone).toBe(false);
    await change(0);
    expect((await running).map(({ body }) => body.length)).toEqual(Array(3).fill(fileBytes));
    await change(9);
    await Promise.all([first.stop(), second.stop()]);
    ends = ends.slice(0, -2);
    expect(await shown((await start()).url)).toBe("9");
  });
});
