import { rm } from "node:fs/promises";
import type { JsonObject } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { AdminService } from "../../gen/downlease/admin/v1/admin_pb.ts";
import { startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { begin } from "../support/download.ts";
import { eventually } from "../support/eventually.ts";
import { linkTo, stateOf } from "../support/links.ts";
import { type CallMethod, methodClients, tableClients } from "../support/method-clients.ts";
import { startRedis } from "../support/redis-server.ts";
import { addItem, openSession, sessionFiles } from "../support/session-files.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { newIssuer, settingsFor } from "../support/tokens.ts";

interface Info {
  readonly [member: string]: string;
  readonly id: string;
}

interface Page {
  readonly sessions?: readonly Info[];
  readonly next_page_token?: string;
}

interface Report {
  readonly ended: string;
  readonly refusals?: readonly {
    readonly error: string;
    readonly count: string;
    readonly ids: readonly string[];
  }[];
  readonly next_page_token?: string;
}

const { listSessions, endSessions } = AdminService.method;

/** Credentials of an operator. */
let operator: Record<string, string> = {};
let directory: TempDir;
let settings: Record<string, string>;
beforeAll(async () => {
  const issuer = await newIssuer();
  directory = await tempDir();
  const tokens = await settingsFor(issuer, directory.path);
  settings = { ...tokens, trustedProxies: "127.0.0.1" };
  operator = { authorization: `Bearer ${await issuer.token({ sub: owner, roles: ["admin"] })}` };
});
afterAll(() => directory.remove());

/** Of all sessions here. */
const owner = `alice ${crypto.randomUUID()}`;

/** Every protocol that has the operations. */
const protocols = Object.entries({
  gRPC: methodClients.gRPC!,
  "gRPC-Web": methodClients["gRPC-Web"]!,
  "Connect, JSON": methodClients["Connect, JSON"]!,
  "/api": tableClients["/api"]!,
  "JSON-RPC": tableClients["JSON-RPC"]!,
});

describe.each(storeKinds)("%s", (store) => {
  let app: TestApp;
  let call: CallMethod;
  const opened = new AsyncDisposableStack();
  beforeAll(async () => {
    // Its own: a page looks at a bounded number of keys, and other tests have many.
    const redis = store === "Redis" ? opened.use(await startRedis()) : undefined;
    app = await startTestApp({ settings, ...(redis !== undefined && { redisUrl: redis.url }) });
    opened.defer(() => app.stop());
    call = methodClients.gRPC!(app.url);
  });
  afterAll(() => opened.disposeAsync());

  const list = async (filter: JsonObject, through = call) =>
    (await through(listSessions, filter, operator)) as unknown as Page;
  const end = async (request: JsonObject, through = call) =>
    (await through(endSessions, request, operator)) as unknown as Report;

  /** New sessions of one new item. */
  async function open(count: number, files = { "a.bin": "12345", "b.bin": "678" }) {
    const item = await addItem(app.contentRoot, files);
    const ids: string[] = [];
    for (let n = 0; n < count; n++) ids.push(await openSession(app.url, item, operator));
    return { item, ids };
  }

  async function everyPage(filter: JsonObject): Promise<string[]> {
    const seen: string[] = [];
    for (let token: string | undefined; ; ) {
      const page = await list({ ...filter, ...(token !== undefined && { page_token: token }) });
      seen.push(...(page.sessions ?? []).map(({ id }) => id));
      token = page.next_page_token;
      if (token === undefined) return seen;
    }
  }

  test.each(protocols)("lists and ends sessions by %s", async (_, client) => {
    const { item, ids } = await open(3);
    const through = client(app.url);
    const page = await list({ library_item_id: item, page_size: "50" }, through);
    expect((page.sessions ?? []).map(({ id }) => id).sort()).toEqual([...ids].sort());
    expect(page.sessions![0]).toMatchObject({
      owner,
      library_item_id: item,
      library_item_name: item,
      state: "ACTIVE",
      progress: "0",
      bytes_sent: "0",
      bytes_total: "8",
    });
    const refused = { error: "not_found", count: "1", ids: ["none"] };
    const request = { ids: [ids[0]!, "none"], ending: "FAIL", error_message: "maintenance" };
    expect(await end(request, through)).toEqual({ ended: "1", refusals: [refused] });
    const failed = await list({ library_item_id: item, states: ["ERROR"] }, through);
    expect(failed.sessions).toMatchObject([{ id: ids[0], state: "ERROR", error_message: "maintenance" }]);
    expect(failed.sessions![0]!.last_renewed_time).toBeUndefined();
  });

  test("shows when a session was created and renewed, how far it is, and where its client is", async () => {
    const { item, ids } = await open(1);
    const [id] = ids as [string];
    const from = Date.now();
    const client = { ...operator, "x-forwarded-for": "192.0.2.1" };
    await keeper(app).keepAlive({ downloadSessionId: id, progress: 40n }, { headers: client });
    const link = await linkTo(app.url, id, "a.bin", client);
    await begin("HTTP/1.1", link).then((begun) => begun.finish());
    const info = await eventually("the bytes and the client of the download", async () => {
      const [session] = (await list({ library_item_id: item })).sessions!;
      return session!.bytes_sent === "5" && session!.client_address === "127.0.0.1" ? session! : undefined;
    });
    expect(info).toMatchObject({ progress: "40" });
    const [created, renewed, expires] = ["created_time", "last_renewed_time", "expiration_time"].map((name) =>
      Date.parse(info[name]!),
    ) as [number, number, number];
    expect(created).toBeLessThanOrEqual(renewed);
    expect(renewed).toBeGreaterThanOrEqual(from - 50);
    expect(expires - renewed).toBe(300_000);
  });

  test("knows the client of each kind of call", async () => {
    const item = await addItem(app.contentRoot, { "a.bin": "12345" });
    const sessions = keeper(app);
    const from = (last: number) => ({ ...operator, "x-forwarded-for": `198.51.100.${last}` });
    const kinds: Record<string, (id: string, headers: Record<string, string>) => Promise<unknown>> = {
      create: async () => {},
      single: (downloadSessionId, headers) => sessions.keepAlive({ downloadSessionId }, { headers }),
      batch: (downloadSessionId, headers) =>
        sessions.batchKeepAlive({ keepAlives: [{ downloadSessionId }] }, { headers }),
      async stream(downloadSessionId, headers) {
        async function* beats() {
          yield { downloadSessionId };
        }
        for await (const _ of sessions.keepAliveStream(beats(), { headers }));
      },
      files: (id, headers) => sessionFiles(call, id, headers).list(),
      prepare: (id, headers) => sessionFiles(call, id, headers).prepare("a.bin"),
      file: (id, headers) => sessionFiles(call, id, headers).get("a.bin"),
    };
    const expected = new Map<string, string>();
    for (const [index, [kind, run]] of Object.entries(kinds).entries()) {
      const id = await openSession(app.url, item, kind === "create" ? from(index) : from(99));
      await run(id, from(index));
      // A look at a session is no call of its client.
      await sessions.get({ downloadSessionId: id }, { headers: from(98) });
      expected.set(id, `198.51.100.${index}`);
    }
    const found = await eventually("all clients", async () => {
      const all = (await list({ library_item_id: item })).sessions!;
      if (all.some((session) => session.client_address === undefined)) return undefined;
      return new Map(all.map((session) => [session.id, session.client_address!]));
    });
    expect(found).toEqual(expected);
  });

  test("walks in pages, and filters by state and age", async () => {
    const { item, ids } = await open(25);
    await end({ ids: ids.slice(0, 5), ending: "CANCEL" });
    const seen = await everyPage({ library_item_id: item, page_size: "4" });
    expect(seen.sort()).toEqual([...ids].sort());
    const canceled = await everyPage({ library_item_id: item, states: ["CANCELED"], page_size: "2" });
    expect(canceled.sort()).toEqual(ids.slice(0, 5).sort());
    expect(await everyPage({ library_item_id: item, states: ["ERROR"] })).toEqual([]);
    expect(await everyPage({ library_item_id: item, min_age_seconds: 100 })).toEqual([]);
    expect(await everyPage({ library_item_id: item, min_age_seconds: 0 })).toHaveLength(25);
    expect(await everyPage({ owner: "nobody" })).toEqual([]);
  });

  test("shows sessions whose item is gone, without its name and size", async () => {
    const { item, ids } = await open(1);
    await rm(`${app.contentRoot}/lib/${item}`, { recursive: true });
    const [session] = (await list({ library_item_id: item })).sessions!;
    expect(session).toMatchObject({ id: ids[0] });
    expect([session!.library_item_name, session!.bytes_total]).toEqual([undefined, undefined]);
  });

  test.each([
    ["GET", "?ownr=alice"],
    ["GET", "?owner=alice&state=ERROR"],
    ["POST", "?action=end&dryrun=true"],
  ])("refuses a misspelled parameter in %s %s", async (method, query) => {
    const { item, ids } = await open(1);
    const body = JSON.stringify({ library_item_id: item, ending: "DELETE" });
    const headers = { ...operator, "content-type": "application/json" };
    const target = `${app.url}/api/downlease/sessions${query}`;
    const response = await fetch(target, { method, headers, ...(method === "POST" && { body }) });
    expect([response.status, await response.text()]).toEqual([
      400,
      expect.stringContaining("is not a parameter of"),
    ]);
    expect(await everyPage({ library_item_id: item })).toEqual(ids);
  });

  test("refuses tokens of others and for another filter", async () => {
    const { item } = await open(3);
    const { next_page_token: token } = await list({ library_item_id: item, page_size: "1" });
    const refusal = "400 downlease.page.token";
    expect(
      await call(listSessions, { library_item_id: item, page_size: "2", page_token: token! }, operator),
    ).toMatchObject({});
    const others = [
      "",
      "x",
      `${token}x`.slice(3),
      Buffer.from("[1]").toString("base64url"),
      "y".repeat(100_000),
    ];
    for (const page_token of others) {
      const kept = page_token.length > 60_000 ? page_token.slice(0, 6_000) : page_token;
      expect(
        await call(listSessions, { library_item_id: item, page_token: kept }, operator),
        kept.slice(0, 20),
      ).toBe(refusal);
    }
    for (const filter of [{}, { library_item_id: "other" }, { library_item_id: item, states: ["ACTIVE"] }]) {
      expect(await call(listSessions, { ...filter, page_token: token! }, operator)).toBe(refusal);
    }
    const ending = { library_item_id: item, ending: "CANCEL", page_token: token! };
    expect(await call(endSessions, ending, operator)).toBe(refusal);
  });

  const wrong: [string, JsonObject, string][] = [
    ["page_size 0", { page_size: "0" }, "argument.type"],
    ["page_size 1001", { page_size: "1001" }, "argument.type"],
    ["page_size -5", { page_size: "-5" }, "argument.type"],
    ["an empty owner", { owner: "" }, "argument.empty"],
    ["an empty item", { library_item_id: "" }, "argument.empty"],
    ["a long owner", { owner: "x".repeat(257) }, "argument.identifier"],
    ["a state that does not exist", { states: [7] }, "argument.type"],
    ["no state", { states: [0] }, "argument.type"],
    ["a negative age", { min_age_seconds: -1 }, "argument.type"],
    ["no age", { min_age_seconds: "NaN" }, "argument.type"],
    ["an endless age", { min_age_seconds: "Infinity" }, "argument.type"],
  ];
  test.each(wrong)("refuses %s", async (_, filter, message) => {
    expect(await call(listSessions, filter, operator)).toBe(`400 downlease.${message}`);
    if (!("page_size" in filter)) {
      expect(await call(endSessions, { ...filter, ending: "CANCEL" }, operator)).toBe(
        `400 downlease.${message}`,
      );
    }
  });

  const incomplete: [string, JsonObject, string][] = [
    ["no choice", { ending: "CANCEL" }, "admin.end_choice"],
    ["ids and a filter", { ids: ["a"], owner: "b", ending: "CANCEL" }, "admin.end_choice"],
    ["ids and all", { ids: ["a"], all: true, ending: "CANCEL" }, "admin.end_choice"],
    ["a filter and all", { owner: "a", all: true, ending: "CANCEL" }, "admin.end_choice"],
    ["ids and a token", { ids: ["a"], ending: "CANCEL", page_token: "x" }, "admin.end_choice"],
    ["no ending", { ids: ["a"] }, "argument.missing"],
    ["an ending that does not exist", { ids: ["a"], ending: 9 }, "argument.type"],
    ["a failure without a message", { ids: ["a"], ending: "FAIL" }, "argument.missing"],
    ["a message without a failure", { ids: ["a"], ending: "CANCEL", error_message: "x" }, "argument.type"],
    ["too many ids", { ids: Array(1001).fill("a"), ending: "CANCEL" }, "argument.too_many"],
    ["an id that is none", { ids: ["a", ""], ending: "CANCEL" }, "argument.missing"],
  ];
  test.each(incomplete)("ends nothing with %s", async (_, request, message) => {
    expect(await call(endSessions, request, operator)).toBe(`400 downlease.${message}`);
  });

  test("ends by filter what can be ended so, and counts before", async () => {
    const { item, ids } = await open(30);
    const choice = { library_item_id: item };
    const dry = { ...choice, ending: "CANCEL", dry_run: true };
    expect(await end(dry)).toEqual({ ended: "30" });
    await end({ ids: ids.slice(0, 12), ending: "CANCEL" });
    expect(await end(dry)).toEqual({ ended: "18" });
    const refusals = [{ error: "not_allowed_in_current_state", count: "12", ids: expect.any(Array) }];
    const everyState = { ...choice, states: ["ACTIVE", "CANCELED"], ending: "CANCEL" };
    for (const dry_run of [true, false]) {
      const report = await end({ ...everyState, dry_run });
      expect(report).toEqual({ ended: "18", refusals });
      expect(report.refusals![0]!.ids).toHaveLength(10);
      for (const id of report.refusals![0]!.ids) expect(ids.slice(0, 12)).toContain(id);
    }
    expect(await end({ ...choice, ending: "CANCEL" })).toEqual({ ended: "0" });
    expect(await end({ ...choice, ending: "DELETE", dry_run: true })).toEqual({ ended: "30" });
    expect(await everyPage(choice)).toHaveLength(30);
    expect(await end({ ...choice, ending: "DELETE" })).toEqual({ ended: "30" });
    expect(await everyPage(choice)).toEqual([]);
    const named = { ids: [ids[0]!, ids[0]!, ids[1]!], ending: "DELETE" };
    expect(await end({ ...named, dry_run: true })).toEqual(await end(named));
  });

  test("cuts the downloads of the sessions that it ends, and no others", async () => {
    const { ids } = await open(2, { "a.bin": "x".repeat(24 * 1024 * 1024), "b.bin": "" });
    const links = await Promise.all(ids.map((id) => linkTo(app.url, id, "a.bin", operator)));
    const [ended, other] = await Promise.all(links.map((link) => begin("HTTP/1.1", link)));
    expect(await end({ ids: [ids[0]!], ending: "CANCEL" })).toEqual({ ended: "1" });
    expect((await ended!.finish()).isWhole).toBe(false);
    expect((await other!.finish()).isWhole).toBe(true);
    expect(await Promise.all(ids.map((id) => stateOf(app.url, id, operator)))).toEqual([
      "CANCELED",
      "ACTIVE",
    ]);
  });
});

function keeper({ url }: TestApp) {
  return createClient(DownloadSessionService, createGrpcTransport({ baseUrl: url }));
}
