import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { examples } from "../../docs/openapi/examples.ts";
import { operationNameOf } from "../../docs/openapi/operations.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { apiRows, surprisesIn } from "../support/openapi.ts";
import { callsOf, type OperationInput } from "../support/operation-calls.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { newIssuer, settingsFor } from "../support/tokens.ts";

let app: TestApp;
let directory: TempDir;
let token: string;
beforeAll(async () => {
  directory = await tempDir();
  const issuer = await newIssuer();
  const contentRoot = resolve(import.meta.dirname, "../../examples/library");
  const tokens = await settingsFor(issuer, directory.path);
  app = await startTestApp({
    corsOrigins: "https://portal.example",
    settings: { ...tokens, contentRoot },
  });
  token = await issuer.token({ sub: "alice", roles: ["admin", "storage"] });
});
afterAll(async () => {
  await app.stop();
  await directory.remove();
});

const rows = new Map(apiRows().map((row) => [operationNameOf(row.options), row]));

/** Sends the example of a request. */
async function send(name: string, headers: Record<string, string> = {}) {
  const [call] = callsOf(rows.get(name)!, (examples[name]?.input ?? {}) as OperationInput);
  const response = await fetch(app.url + call!.path, {
    method: call!.method,
    headers: { authorization: `Bearer ${token}`, ...call!.headers, ...headers },
    ...(call!.body !== undefined && { body: call!.body }),
  });
  const type = response.headers.get("content-type");
  return { status: response.status, type, text: await response.text() };
}

const sessions = "content.library.item.download_session";
const files = "content.library.item.downloadsession.file";

/** The session of the examples, new, with a file that is prepared; its id follows from its owner and client token. */
async function renewSession(): Promise<void> {
  await send(`${sessions}.delete`);
  expect(JSON.parse((await send(`${sessions}.create`)).text)).toBe(examples[`${sessions}.create`]!.output);
  await send(`${files}.prepare`);
  const isPrepared = async () => JSON.parse((await send(`${files}.get`)).text).status === "PREPARED";
  await eventually("the file is prepared", isPrepared);
}

/** Members and types of an answer that its example does not have, by their paths. */
function missingIn(example: unknown, answer: unknown, path = "result"): string[] {
  if (Array.isArray(answer) && Array.isArray(example)) {
    return answer.flatMap((item, index) => {
      const missing = example.map((other) => missingIn(other, item, `${path}.${index}`));
      return missing.some((each) => each.length === 0) ? [] : (missing[0] ?? [`${path}.${index}`]);
    });
  }
  // The names in a map are none of the interface.
  if (path.endsWith(".details")) return typeof answer === typeof example ? [] : [path];
  if (typeof answer === "object" && typeof example === "object") {
    const members = example as Record<string, unknown>;
    return Object.entries(answer!).flatMap(([name, value]) =>
      name in members ? missingIn(members[name], value, `${path}.${name}`) : [`${path}.${name}`],
    );
  }
  return typeof answer === typeof example ? [] : [path];
}

/** Operations that find nothing, because there is nothing of the kind. */
const neverSucceeds = ["content.subscribed_library.get", "content.library.item.update_session.get"];

describe.each([...rows])("the example of %s", (name, row) => {
  test("is answered as the document says", async () => {
    const { input } = examples[name] ?? {};
    if (input !== undefined && ("download_session_id" in input || "owner" in input)) await renewSession();
    const isOwnLogin = name === "cis.session.get" || name === "cis.session.delete";
    const login = isOwnLogin ? JSON.parse((await send("cis.session.create")).text) : undefined;
    const answer = await send(name, login === undefined ? {} : { "vmware-api-session-id": login });
    expect(answer.status, answer.text).toBe(neverSucceeds.includes(name) ? 404 : row.route.status);
    expect(surprisesIn(row, answer)).toBe("");
    const { output } = examples[name]!;
    if (output !== undefined) expect(missingIn(output, JSON.parse(answer.text))).toEqual([]);
  });
});

describe("/openapi.json", () => {
  const read = (init: RequestInit = {}, path = "/openapi.json") => fetch(app.url + path, init);

  test("is read by anybody, also with HEAD and a query", async () => {
    const whole = await read();
    expect([whole.status, whole.headers.get("content-type")]).toEqual([200, "application/json"]);
    expect(await whole.json()).toMatchObject({ openapi: "3.1.0", info: { title: "downlease" } });
    const head = await read({ method: "HEAD" }, "/openapi.json?from=test");
    expect([head.status, await head.text()]).toEqual([200, ""]);
    expect(Number(head.headers.get("content-length"))).toBeGreaterThan(10_000);
  });

  test("is sent compressed on request, and not again to who has it", async () => {
    const sizes: number[] = [];
    for (const encoding of ["br", "gzip", "identity"]) {
      const response = await read({ headers: { "accept-encoding": encoding } });
      expect(response.headers.get("content-encoding") ?? "identity").toBe(encoding);
      expect(await response.json()).toHaveProperty("paths");
      sizes.push(Number(response.headers.get("content-length")));
    }
    expect(sizes[0]!).toBeLessThan(sizes[2]! / 5);
    const etag = (await read()).headers.get("etag")!;
    for (const known of [etag, `"other", ${etag}`, "*"]) {
      expect((await read({ headers: { "if-none-match": known } })).status).toBe(304);
    }
    expect((await read({ headers: { "if-none-match": '"other"' } })).status).toBe(200);
  });

  test("is sent whole when a part is requested", async () => {
    const response = await read({ headers: { range: "bytes=0-9" } });
    expect([response.status, (await response.text()).length > 10_000]).toEqual([200, true]);
  });

  test("can only be read, and only there", async () => {
    const post = await read({ method: "POST", body: "{}" });
    expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    expect((await read({}, "/openapi.json/x")).status).toBe(404);
    expect((await read({}, "/openapi.jsonx")).status).toBe(404);
  });

  test("may be read by pages of the allowed origins", async () => {
    const allow = async (origin: string) =>
      (await read({ headers: { origin } })).headers.get("access-control-allow-origin");
    expect(await allow("https://portal.example")).toBe("https://portal.example");
    expect(await allow("https://other.example")).toBeNull();
  });
});

describe("without pages (--console off)", () => {
  let bare: TestApp;
  beforeAll(async () => {
    bare = await startTestApp({ settings: { console: "off" } });
  });
  afterAll(() => bare.stop());

  test.each(["/", "/docs", "/console", "/console/"])("%s is no path, also for browsers", async (path) => {
    const response = await fetch(bare.url + path, { headers: { accept: "text/html" } });
    expect([response.status, JSON.parse(await response.text()).value.error_type]).toEqual([404, "NOT_FOUND"]);
  });

  test("the document is there", async () => {
    expect((await fetch(`${bare.url}/openapi.json`)).status).toBe(200);
  });
});

describe("clients that are no browsers get from / what any unknown path has", () => {
  test.each([
    ["curl", "GET", "*/*"],
    ["a program", "GET", "application/json"],
    ["one that prefers JSON", "GET", "application/json, text/html;q=0.5"],
    ["one without Accept", "GET", ""],
    ["a form of a page", "POST", "text/html"],
  ])("%s", async (_, method, accept) => {
    const response = await fetch(`${app.url}/`, { method, headers: { accept } });
    expect([response.status, JSON.parse(await response.text()).value.error_type]).toEqual([404, "NOT_FOUND"]);
  });
});
