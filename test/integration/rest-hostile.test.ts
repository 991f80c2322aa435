import { request } from "node:http";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { hostileJson } from "../support/hostile-json.ts";
import { Sender, type Sent } from "../support/sender.ts";

let app: TestApp;
let item: string;
let id: string;
const sender = new Sender();
const send = (sent: Sent) => sender.send(app.url, sent);
const service = "/rest/com/vmware/content/library/item/download-session";
const xmlns = "http://vmware.com/content/library/item/download_session";

beforeAll(async () => {
  app = await startTestApp();
  item = await app.addItem();
  const body = Buffer.from(JSON.stringify({ create_spec: { library_item_id: item } }));
  id = JSON.parse((await send({ method: "POST", path: service, type: "application/json", body })).text).value;
});
afterAll(async () => {
  sender.close();
  await app.stop();
});

const keepAlive = (type: string, body: string | Buffer): Sent => ({
  method: "POST",
  path: `${service}/id:${id}?~action=keep-alive`,
  type,
  body: Buffer.from(body as string),
});
const json = (body: string | Buffer) => keepAlive("application/json", body);
const form = (body: string | Buffer) => keepAlive("application/x-www-form-urlencoded", body);
const xml = (children: string) =>
  keepAlive("application/xml", `<ns0:KeepAlive-Input xmlns:ns0="${xmlns}">${children}</ns0:KeepAlive-Input>`);
const xmlText = (text: string | Buffer) => keepAlive("application/xml", text);

/** Requests, with the status and error type that each must get; built in the test, when the session exists. */
const hostile: Record<string, () => [Sent, status: number, errorType: string]> = {
  ...Object.fromEntries(
    Object.entries(hostileJson).map(([name, [body, errorType]]) => [
      `JSON: ${name}`,
      () => [json(body), 400, errorType] as [Sent, number, string],
    ]),
  ),
  "JSON: NUL in an id": () => [
    json('{"download_session_id":"a\\u0000b","progress":50}'),
    400,
    "INVALID_ARGUMENT",
  ],
  "form: a repeated name": () => [form("progress=50&progress=60"), 400, "INVALID_ARGUMENT"],
  "form: a broken percent-encoding": () => [form("progress=%5"), 400, "INVALID_REQUEST"],
  "form: bytes that are not UTF-8": () => [form("download_session_id=%ff"), 400, "INVALID_REQUEST"],
  "form: NUL in an id": () => [form("download_session_id=a%00b"), 400, "INVALID_ARGUMENT"],
  "form: 10.5": () => [form("progress=10.5"), 400, "INVALID_ARGUMENT"],
  "form: 1e1": () => [form("progress=1e1"), 400, "INVALID_ARGUMENT"],
  "form: 2^63": () => [form("progress=9223372036854775808"), 400, "INVALID_ARGUMENT"],
  "form: __proto__": () => [form("__proto__.progress=50"), 400, "INVALID_ARGUMENT"],
  "form: an unknown name": () => [form("progress=50&no=1"), 400, "INVALID_ARGUMENT"],
  "form: a structure for a long": () => [form("progress.a=50"), 400, "INVALID_ARGUMENT"],
  "form: JSON in it": () => [form('{"progress":50}'), 400, "INVALID_ARGUMENT"],
  "XML: truncated": () => [xmlText("<KeepAlive-Input><progress>50</prog"), 400, "INVALID_REQUEST"],
  "XML: unclosed": () => [xmlText("<KeepAlive-Input><progress>50</progress>"), 400, "INVALID_REQUEST"],
  "XML: nested 10,000 deep": () => [xml("<a>".repeat(10_000)), 400, "INVALID_REQUEST"],
  "XML: a document type": () => [xmlText("<!DOCTYPE a><KeepAlive-Input/>"), 400, "INVALID_REQUEST"],
  "XML: an entity bomb": () => [
    xmlText(
      '<!DOCTYPE a [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><KeepAlive-Input><progress>&b;</progress></KeepAlive-Input>',
    ),
    400,
    "INVALID_REQUEST",
  ],
  "XML: an undefined entity": () => [xml("<progress>&fifty;</progress>"), 400, "INVALID_REQUEST"],
  "XML: a repeated element": () => [
    xml("<progress>50</progress><progress>60</progress>"),
    400,
    "INVALID_REQUEST",
  ],
  "XML: an unknown element": () => [xml("<progress>50</progress><no/>"), 400, "INVALID_ARGUMENT"],
  "XML: __proto__": () => [xml("<__proto__><progress>50</progress></__proto__>"), 400, "INVALID_ARGUMENT"],
  "XML: a wrong root": () => [xmlText("<Cancel-Input/>"), 400, "INVALID_REQUEST"],
  "XML: a structure for a long": () => [xml("<progress><a>50</a></progress>"), 400, "INVALID_ARGUMENT"],
  "XML: 10.5": () => [xml("<progress>10.5</progress>"), 400, "INVALID_ARGUMENT"],
  "XML: an empty long": () => [xml("<progress/>"), 400, "INVALID_ARGUMENT"],
  "XML: NUL": () => [xml("<progress>5\u00000</progress>"), 400, "INVALID_REQUEST"],
  "XML: invalid UTF-8": () => [
    xmlText(Buffer.from("<KeepAlive-Input>\xff</KeepAlive-Input>", "latin1")),
    400,
    "INVALID_REQUEST",
  ],
  "XML: another encoding": () => [
    xmlText('<?xml version="1.0" encoding="ISO-8859-1"?><KeepAlive-Input/>'),
    400,
    "INVALID_REQUEST",
  ],
  "an unknown content type": () => [keepAlive("text/plain", "progress=50"), 415, "INVALID_REQUEST"],
  "a multipart form": () => [keepAlive("multipart/form-data; boundary=x", "--x--"), 415, "INVALID_REQUEST"],
  "a malformed content type": () => [keepAlive("rubbish", "{}"), 415, "INVALID_REQUEST"],
  "a charset that is not UTF-8": () => [
    keepAlive("application/json; charset=utf-16", "{}"),
    415,
    "INVALID_REQUEST",
  ],
  "a compressed body": () => [
    { ...json("{}"), headers: { "content-encoding": "gzip" } },
    415,
    "INVALID_REQUEST",
  ],
  "a body of 10 MB": () => [json(Buffer.alloc(10_000_000, " ")), 413, "INVALID_REQUEST"],
  "a body one byte too large": () => [json(Buffer.alloc(65_537, " ")), 413, "INVALID_REQUEST"],
  "a repeated action": () => [
    { ...json("{}"), path: `${service}/id:${id}?~action=cancel&~action=cancel` },
    400,
    "INVALID_ARGUMENT",
  ],
  "an unknown action": () => [
    { ...json("{}"), path: `${service}/id:${id}?~action=complete` },
    404,
    "NOT_FOUND",
  ],
  "no action": () => [{ ...json("{}"), path: `${service}/id:${id}` }, 404, "NOT_FOUND"],
  "an unknown method": () => [
    { ...json("{}"), method: "PUT", path: `${service}/id:${id}` },
    404,
    "NOT_FOUND",
  ],
  "an unknown path": () => [{ method: "GET", path: "/rest/com/vmware/content/nothing" }, 404, "NOT_FOUND"],
  "the root": () => [{ method: "GET", path: "/" }, 404, "NOT_FOUND"],
  "an id that is not percent-encoded": () => [
    { method: "GET", path: `${service}/id:%zz` },
    400,
    "INVALID_REQUEST",
  ],
  "an id with NUL": () => [{ method: "GET", path: `${service}/id:a%00b` }, 400, "INVALID_ARGUMENT"],
  "an empty id": () => [{ method: "GET", path: `${service}/id:` }, 400, "INVALID_ARGUMENT"],
  "a path out of the library": () => [
    { method: "GET", path: `${service}?library_item_id=..%2F..%2Fetc` },
    404,
    "NOT_FOUND",
  ],
  "a query that is not percent-encoded": () => [
    { method: "GET", path: `${service}?library_item_id=%zz` },
    400,
    "INVALID_REQUEST",
  ],
};

describe("each gets a clear answer, and nothing changes", () => {
  test.each(Object.keys(hostile))("%s", async (name) => {
    const [sent, status, errorType] = hostile[name]!();
    const before = await send({ method: "GET", path: `${service}/id:${id}` });
    for (const accept of ["application/json", "application/xml"]) {
      const answer = await send({ ...sent, accept });
      expect([answer.status, answer.type]).toEqual([status, accept]);
      if (accept === "application/json") {
        const { type, value } = JSON.parse(answer.text);
        expect([type, value.error_type]).toEqual([
          `com.vmware.vapi.std.errors.${errorType.toLowerCase()}`,
          errorType,
        ]);
        expect(value.messages[0]).toEqual({
          id: expect.stringMatching(/^downlease\./),
          default_message: expect.stringMatching(/\.$/),
          args: expect.any(Array),
        });
      } else expect(answer.text).toContain(`<value><error_type>${errorType}</error_type><messages-array>`);
    }
    expect(await send({ method: "GET", path: `${service}/id:${id}` })).toEqual(before);
  });

  test("a body that is announced but never sent does not block others", async () => {
    const { path } = json("{}");
    const stuck = request(app.url + path, { method: "POST", headers: { "content-length": "10" } });
    stuck.on("error", () => {});
    stuck.write("{");
    expect((await send({ method: "GET", path: `${service}/id:${id}` })).status).toBe(200);
    stuck.destroy();
  });
});

describe("every request gets an answer, and never a 5xx", () => {
  const jsonType = "application/json";
  const formType = "application/x-www-form-urlencoded";
  interface Good {
    readonly base: string;
    /** Below the base. */
    readonly place: string;
    readonly parameter: string;
    readonly action: string;
    readonly type: string;
    readonly body: string;
  }
  const rest = (action: string, type: string, body: string): Good => ({
    base: "/com/vmware/content/library/item/download-session",
    place: "",
    parameter: "~action",
    action,
    type,
    body,
  });
  const api = (place: string, action: string, body: string): Good => ({
    base: "/api/content/library/item/download-session",
    place,
    parameter: "action",
    action,
    type: jsonType,
    body,
  });
  const spec = (params: string) =>
    `{"library_item_id":"ITEM","error_message":{"id":"a","default_message":"b","args":["c"]${params}},"expiration_time":"2013-06-06T22:13:05"}`;
  /** Valid requests; ID and ITEM stand for an existing session and item. */
  const good = [
    rest(
      "create",
      jsonType,
      `{"create_spec":${spec(',"params":[{"key":"k","value":{"l":{"id":"m"},"i":1}}]')},"client_token":"b7d7c2f4-0c0e-4a0e-8d2b-5f0d4b7f3a11"}`,
    ),
    rest(
      "create",
      formType,
      "create_spec.library_item_id=ITEM&create_spec.error_message.args.1=a&create_spec.error_message.args.2=b",
    ),
    rest(
      "create",
      "text/xml",
      `<ns0:Create-Input xmlns:ns0="${xmlns}"><create_spec><library_item_id>ITEM</library_item_id><error_message><args-array><array-item>a</array-item></args-array></error_message></create_spec></ns0:Create-Input>`,
    ),
    rest("keep-alive", jsonType, '{"download_session_id":"ID","progress":10}'),
    rest("keep-alive", formType, "&download_session_id=ID&progress=10"),
    rest(
      "keep-alive",
      "application/xml",
      `<?xml version="1.0"?><ns0:KeepAlive-Input xmlns:ns0="${xmlns}"><progress>10</progress><download_session_id>ID</download_session_id></ns0:KeepAlive-Input>`,
    ),
    rest("get", jsonType, '{"download_session_id":"ID"}'),
    rest("list", formType, "library_item_id=ITEM"),
    rest("fail", jsonType, '{"download_session_id":"NOBODY","client_error_message":"x"}'),
    api("", "", spec("")),
    api("/ID", "keep-alive", '{"progress":10}'),
    api("", "", '{"library_item_id":"ITEM"}'),
    api("", "", '{"library_item_id":"ITEM","client_progress":1,"state":null}'),
    api("/NOBODY", "fail", '{"client_error_message":"x"}'),
    api("/NOBODY", "cancel", ""),
  ];
  const urlText = fc.stringMatching(/^[%a-zA-Z0-9:;,.~+!*'()=&_-]{0,30}$/);
  const punctuation = fc
    .constantFrom(..."{}[]<>&;\"'=:,.%\\/\u0000".split(""))
    .map((char) => Uint8Array.from(Buffer.from(char)));
  const mutation = fc.record({
    at: fc.nat(),
    cut: fc.nat({ max: 6 }),
    insert: fc.oneof(fc.uint8Array({ maxLength: 4 }), punctuation),
  });

  /** How a valid request is changed, and what may replace its parts. */
  const requests = fc.record({
    good: fc.constantFrom(...good),
    mutations: fc.array(mutation, { maxLength: 3 }),
    method: usually("POST", fc.constantFrom("GET", "DELETE", "PUT", "PATCH")),
    prefix: fc.constantFrom("", "/rest"),
    place: usually(
      undefined,
      fc.oneof(
        fc.constantFrom("", "/ID", "/ID/file", "/id:ID", "/id%3AID", "/id:ITEM", "/id:"),
        fc.string({ maxLength: 40 }).map((text) => `/id:${encodeURIComponent(text.toWellFormed())}`),
        fc.stringMatching(/^[/%a-zA-Z0-9:;,.~+!*'()=&-]{0,30}$/),
      ),
    ),
    action: usually(
      undefined,
      fc.constantFrom("create", "get", "list", "keep-alive", "cancel", "fail", "delete", "", "no"),
    ),
    query: usually(
      "",
      urlText.map((text) => `&${text}`),
    ),
    type: usually(undefined, fc.constantFrom(jsonType, "application/xml", formType, "text/plain", "x")),
    body: usually(
      undefined,
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.json().map((text) => Buffer.from(text)),
      ),
    ),
    accept: fc.constantFrom("application/json", "application/xml", "*/*", "x"),
  });

  function usually<A, B>(common: A, others: fc.Arbitrary<B>) {
    return fc.oneof({ weight: 3, arbitrary: fc.constant(common) }, { weight: 1, arbitrary: others });
  }

  const withIds = (text: string) => text.replaceAll("ITEM", item).replaceAll("ID", id);

  test("random and mutated requests", { timeout: 90_000 }, async () => {
    const statuses = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(requests, async ({ good, ...changes }) => {
        const isApi = good.base.startsWith("/api");
        const action = changes.action ?? good.action;
        const mutated = changes.mutations.reduce<Uint8Array>(
          (bytes, { at, cut, insert }) => {
            const start = at % (bytes.length + 1);
            return Buffer.concat([bytes.subarray(0, start), insert, bytes.subarray(start + cut)]);
          },
          Buffer.from(withIds(good.body)),
        );
        const answer = await send({
          method: changes.method,
          path: `${isApi ? "" : changes.prefix}${good.base}${withIds(changes.place ?? good.place)}${action === "" ? "" : `?${good.parameter}=${action}`}${changes.query}`,
          type: changes.type ?? good.type,
          accept: changes.accept,
          body: changes.body ?? mutated,
        });
        const status = isApi && answer.status < 300 ? 200 : answer.status;
        const key = `${isApi ? "/api" : "/rest"} ${status}`;
        statuses.set(key, (statuses.get(key) ?? 0) + 1);
        if (status !== 200) {
          expect([400, 404, 415]).toContain(status);
          if (isApi) expect(JSON.parse(answer.text)).toHaveProperty("error_type");
          else expect(answer.text).toContain("com.vmware.vapi.std.errors.");
        }
      }),
      { numRuns: 5000 },
    );
    // A generator whose requests all fail, or all succeed, proves nothing.
    for (const dialect of ["/rest", "/api"]) {
      for (const status of [200, 400, 404, 415]) {
        expect(statuses.get(`${dialect} ${status}`), `${dialect} ${status}`).toBeGreaterThan(30);
      }
    }
  });
});
