import { describe, expect, test } from "vitest";
import { program } from "../../src/config/program.ts";
import { startTestApp, type TestApp, type TestAppOptions } from "../support/app.ts";
import { runCommand, startCommand } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";

type Disposable<T> = T & AsyncDisposable;

async function start(options: TestAppOptions = {}): Promise<Disposable<TestApp>> {
  const app = await startTestApp(options);
  return { ...app, [Symbol.asyncDispose]: () => app.stop() };
}

interface Overview {
  readonly [name: string]: unknown;
  readonly replicas: readonly Readonly<Record<string, unknown>>[];
}

async function overviewOf({ url }: Pick<TestApp, "url">): Promise<Overview> {
  const response = await fetch(`${url}/api/downlease/overview`);
  expect(response.status).toBe(200);
  return (await response.json()) as Overview;
}

const sessions = "/api/content/library/item/download-session";

async function createSession({ url }: TestApp, itemId: string): Promise<string> {
  const response = await fetch(url + sessions, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ library_item_id: itemId }),
  });
  expect(response.status).toBe(201);
  return (await response.json()) as string;
}

async function call(method: string, { url }: TestApp, path: string): Promise<void> {
  expect((await fetch(`${url}${sessions}/${path}`, { method })).ok).toBe(true);
}

/** A few censuses. */
const within = { withinMs: 20_000 };

// Each waits for censuses, most of the time.
describe.concurrent("the overview", () => {
  test("counts sessions, and the metrics count every lease", async () => {
    await using app = await start();
    const item = await app.addItem();
    const [renewed, canceled, failed, deleted] = await Promise.all(
      Array.from({ length: 8 }, () => createSession(app, item)),
    );
    await call("POST", app, `${canceled}?action=cancel`);
    await call("POST", app, `${failed}?action=fail`);
    await call("DELETE", app, `${canceled}`);
    await call("DELETE", app, `${deleted}`);
    for (let n = 0; n < 3; n++) await call("POST", app, `${renewed}?action=keep-alive`);
    const counted = await eventually(
      "the census",
      async () => {
        const overview = await overviewOf(app);
        return overview.failed_sessions === 1 ? overview : undefined;
      },
      within,
    );
    expect(counted).toMatchObject({
      store: { kind: "SQLite", is_reachable: true, is_writable: true },
      top_items: [{ id: item, name: item }],
      top_principals: [{ id: "anonymous" }],
      replicas: [{ version: program.version, address: app.url, is_ready: true, downloads: 0 }],
    });
    const metric = (name: string) => app.metric(`downlease_${name}`);
    const leases = ["granted", "renewed", "ended"].map((name) => metric(`leases_${name}_total`));
    expect(await Promise.all(leases)).toEqual([8, 3, 3]);
    expect(await Promise.all(["sessions", "store_up", "store_writable"].map(metric))).toEqual([6, 1, 1]);
  });

  test("shows all replicas, and leases that expire are counted by one of them", async () => {
    await using redis = await startRedis();
    await using one = await start({ redisUrl: redis.url, leaseSeconds: 1 });
    const two = await start({ redisUrl: redis.url, leaseSeconds: 1 });
    const item = await one.addItem();
    for (let n = 0; n < 20; n++) await createSession(one, item);
    const replicas = await eventually(
      "two replicas",
      async () => {
        const overview = await overviewOf(two);
        return overview.replicas.length === 2 ? overview.replicas : undefined;
      },
      within,
    );
    expect(replicas.map(({ address }) => address).sort()).toEqual([one.url, two.url].sort());
    const expired = (app: TestApp) => app.metric("downlease_leases_expired_total");
    await eventually("all to expire", async () => (await expired(one)) + (await expired(two)) === 20, within);
    await two.stop();
    const { replicas: left, problems } = await overviewOf(one);
    expect(left.map(({ address }) => address)).toEqual([one.url]);
    expect(problems).toEqual([
      expect.stringMatching(/^Leases expire in masses, at \d+ a minute with 0 active: /),
    ]);
  });

  test("shows the replica itself and what is wrong while there is no store", async () => {
    const redis = await startRedis();
    await using app = await start({ redisUrl: redis.url });
    await redis[Symbol.asyncDispose]();
    const isWritable = async () => (await app.metric("downlease_store_writable")) === 1;
    await eventually("the loss to be noticed", async () => !(await isWritable()));
    const overview = await overviewOf(app);
    expect(overview).toMatchObject({
      store: { is_reachable: false, is_writable: false },
      replicas: [{ address: app.url }],
      problems: expect.arrayContaining([expect.stringMatching(/^The store does not respond/)]),
    });
    expect(overview).not.toHaveProperty("counted_time");
    await eventually("the metric", async () => (await app.metric("downlease_store_up")) === 0);
  });

  test("is what downlease admin overview prints", async () => {
    await using app = await start();
    await createSession(app, await app.addItem());
    await eventually("the census", async () => (await overviewOf(app)).active_sessions === 1, within);
    const command = ["admin", "overview", "--server", app.url];
    const { code, stdout } = await runCommand(command);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^No problems\.\n\nsessions +1 active \(0 expire within a minute\), 0 canceled, 0 failed/,
    );
    expect(stdout).toMatch(/^store +SQLite, writable, [\d.]+ KiB$/m);
    expect(stdout).toMatch(/^REPLICA +ADDRESS +VERSION +STATE +UP +CALLS\/S/m);
    expect(stdout).toMatch(/^PRINCIPAL +SESSIONS\nanonymous +1$/m);
    const json = JSON.parse((await runCommand([...command, "--json"])).stdout);
    expect(json).toMatchObject({ active_sessions: 1, replicas: [{ downloads: 0 }], problems: [] });
    const watch = startCommand([...command, "--watch", "--interval", "1"]);
    const isShown = () => /1 replica; sessions: 1 active/.test(watch.stdout);
    await eventually("a line", isShown, within);
    watch.signal("SIGINT");
    expect((await watch.ended).code).toBe(130);
  });
});
