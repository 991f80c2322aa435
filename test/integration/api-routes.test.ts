import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { hostileJson } from "../support/hostile-json.ts";
import { rawConnection } from "../support/raw-connection.ts";
import { type Answer, Sender, type Sent } from "../support/sender.ts";

let app: TestApp;
let item: string;
const sender = new Sender();
const service = "/api/content/library/item/download-session";

beforeAll(async () => {
  app = await startTestApp();
  item = await app.addItem();
});
afterAll(async () => {
  sender.close();
  await app.stop();
});

type Options = Partial<Omit<Sent, "method" | "path" | "body">> & { readonly body?: string | Buffer };

function call(method: string, path: string, { body, ...options }: Options = {}): Promise<Answer> {
  return sender.send(app.url, {
    method,
    path,
    ...(body !== undefined && { body: Buffer.from(body as string), type: "application/json" }),
    ...options,
  });
}

async function newSession(headers: Record<string, string> = {}): Promise<string> {
  const body = JSON.stringify({ library_item_id: item });
  const { status, text } = await call("POST", service, { body, headers });
  expect(status).toBe(201);
  return JSON.parse(text);
}

async function progressOf(id: string): Promise<number> {
  return JSON.parse((await call("GET", `${service}/${id}`)).text).client_progress;
}

/** Status, error type and message id of an error; fails when it does not have the form of `/api`. */
function refusalIn({ status, type, text }: Answer): string {
  const { error_type, messages, ...others } = JSON.parse(text);
  expect([type, others]).toEqual(["application/json", {}]);
  expect(messages).toEqual([
    { id: expect.any(String), default_message: expect.stringMatching(/\.$/), args: expect.any(Array) },
  ]);
  return `${status} ${error_type} ${messages[0].id}`;
}

const noOperation = "404 NOT_FOUND downlease.operation.not_found";
const noSession = "404 NOT_FOUND downlease.session.not_found";
const mediaType = "415 INVALID_REQUEST downlease.request.media_type";
const malformed = "400 INVALID_REQUEST downlease.request.malformed";
const conflict = "400 INVALID_ARGUMENT downlease.argument.conflict";
const unknownMember = "400 INVALID_ARGUMENT downlease.argument.unknown";
const badToken = "400 INVALID_ARGUMENT downlease.argument.client_token";

describe("results are bare", () => {
  test("create answers with a JSON string", async () => {
    const { text } = await call("POST", service, { body: JSON.stringify({ library_item_id: item }) });
    expect(text).toMatch(/^"[0-9a-f-]{36}"$/);
  });

  test("get answers as documented, field by field", async () => {
    const id = await newSession();
    const { text } = await call("GET", `${service}/${id}`);
    expect(JSON.parse(text)).toEqual({
      id,
      library_item_id: item,
      library_item_content_version: expect.stringMatching(/^[0-9a-f]{16}$/),
      client_progress: 0,
      state: "ACTIVE",
      expiration_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
  });

  test("an empty list is a list", async () => {
    const { text } = await call("GET", `${service}?library_item_id=${await app.addItem()}`);
    expect(text).toBe("[]");
  });

  test("204 has neither a body nor a length, and the connection stays open", async () => {
    const id = await newSession();
    using connection = await rawConnection(app.port);
    const answers = () => connection.received.split("HTTP/1.1 ").slice(1);
    for (const action of ["keep-alive", "cancel"]) {
      const before = answers().length;
      connection.socket.write(
        `POST ${service}/${id}?action=${action} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n`,
      );
      await eventually(`an answer to ${action}`, () => answers()[before]?.endsWith("\r\n\r\n"));
      expect(answers()[before]).toMatch(/^204 /);
      expect(answers()[before]).not.toMatch(/content-length|transfer-encoding|content-type/i);
    }
    connection.socket.write(`GET ${service}/${id} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    await connection.receives('"state":"CANCELED"');
  });
});

describe("ids in the path", () => {
  test.each(["a%2Fb", "uuid:uuid", "uuid%3Auuid", "id:x", "a+b", "..%2F..%2Fetc", "__proto__", "%20"])(
    "%s is one id, which does not exist",
    async (written) => {
      const answer = await call("GET", `${service}/${written}`);
      expect(refusalIn(answer)).toBe(noSession);
      expect(JSON.parse(answer.text).messages[0].args).toEqual([decodeURIComponent(written)]);
    },
  );

  test("an id may be percent-encoded throughout", async () => {
    const id = await newSession();
    const encoded = [...id].map((char) => `%${char.charCodeAt(0).toString(16)}`).join("");
    expect((await call("GET", `${service}/${encoded}`)).status).toBe(200);
  });

  test.each([
    [`${service}/%zz`, malformed],
    [`${service}/a%00b`, "400 INVALID_ARGUMENT downlease.argument.identifier"],
    [`${service}?library_item_id=%zz`, malformed],
    [`${service}/`, noOperation],
    [`${service}/x/`, noOperation],
  ])("GET %s is %s", async (path, refusal) => {
    expect(refusalIn(await call("GET", path))).toBe(refusal);
  });

  test("an id in path and body that differs is refused, one that agrees is not", async () => {
    const id = await newSession();
    const send = (other: string) =>
      call("POST", `${service}/${id}?action=keep-alive`, {
        body: JSON.stringify({ download_session_id: other, progress: 10 }),
      });
    expect(refusalIn(await send("obj-103"))).toBe(conflict);
    expect(await progressOf(id)).toBe(0);
    expect((await send(id)).status).toBe(204);
  });
});

describe("requests that match no operation", () => {
  test.each([
    ["GET", "/api"],
    ["PUT", "/api"],
    ["GET", "/api/"],
    ["GET", "/api/nowhere"],
    ["GET", "/api/com/vmware/content/library/item/download-session"],
    ["PUT", `${service}/x`],
    ["PATCH", `${service}/x`],
    ["OPTIONS", `${service}/x`],
    ["DELETE", service],
    ["POST", `${service}/x`],
    ["POST", `${service}/x?~action=keep-alive`],
    ["POST", `${service}/x?action=keep_alive`],
    ["POST", `${service}/x?action=complete`],
    ["POST", `${service}?action=create`],
    ["POST", `${service}?~action=create`],
    ["GET", `${service}/x?~action=get`],
    ["POST", `${service}/x?action=keep-alive&~action=keep-alive`],
    ["POST", `${service}/id:x?~action=keep-alive`],
    ["GET", "/api/content/libraries"],
  ])("%s %s gets an error in the dialect of the path", async (method, path) => {
    expect(refusalIn(await call(method, path, { accept: "application/xml" }))).toBe(noOperation);
  });

  test("HEAD is not found", async () => {
    const { status, type, text } = await call("HEAD", `${service}/x`);
    expect([status, type, text]).toEqual([404, "application/json", ""]);
  });

  test.each(["/apis", "/apix/content", "/rest/api", "/rest/api/content", "/API"])(
    "%s is not below /api",
    async (path) => {
      const { status, text } = await call("GET", path);
      expect([status, JSON.parse(text).type]).toEqual([404, "com.vmware.vapi.std.errors.not_found"]);
    },
  );

  test("?action on /rest does not select an action", async () => {
    const rest = "/rest/com/vmware/content/library/item/download-session";
    const id = await newSession();
    const { status, text } = await call("POST", `${rest}/id:${id}?action=cancel`);
    expect([status, JSON.parse(text).value.error_type]).toEqual([404, "NOT_FOUND"]);
    expect((await call("POST", `${rest}/id:${id}?action=cancel&~action=keep-alive`)).status).toBe(200);
    expect(JSON.parse((await call("GET", `${service}/${id}`)).text).state).toBe("ACTIVE");
  });
});

describe("Client-Token", () => {
  const token = "B7D7C2F4-0c0e-4a0e-8d2b-5f0d4b7f3a11";

  test("makes create idempotent under either of its names", async () => {
    const id = await newSession({ "Client-Token": token });
    expect(await newSession({ client_token: token })).toBe(id);
    expect(await newSession({ "CLIENT-TOKEN": token, client_token: token })).toBe(id);
    expect(await newSession()).not.toBe(id);
  });

  const create = (headers: Record<string, string>, query = "") =>
    call("POST", service + query, { headers, body: JSON.stringify({ library_item_id: item }) });

  test.each(["", "x", "é", `${token}, ${token}`, `{${token}}`])(
    "'%s' is not a valid token",
    async (value) => {
      expect(refusalIn(await create({ "Client-Token": value }))).toBe(badToken);
    },
  );

  test("two that differ are refused", async () => {
    const other = crypto.randomUUID();
    expect(refusalIn(await create({ "Client-Token": token, client_token: other }))).toBe(conflict);
    expect(refusalIn(await create({ "Client-Token": token }, `?client_token=${other}`))).toBe(conflict);
    expect((await create({ "Client-Token": token }, `?client_token=${token}`)).status).toBe(201);
  });

  test("is ignored by /rest", async () => {
    const path = "/rest/com/vmware/content/library/item/download-session";
    const body = JSON.stringify({ create_spec: { library_item_id: item } });
    expect((await call("POST", path, { headers: { "Client-Token": "x" }, body })).status).toBe(200);
  });
});

describe("bodies", () => {
  test("the body of create is the specification itself", async () => {
    const wrapped = JSON.stringify({ create_spec: { library_item_id: item } });
    expect(refusalIn(await call("POST", service, { body: wrapped }))).toBe(unknownMember);
    const whole = JSON.stringify({ id: "x", library_item_id: item, client_progress: 5, state: "ERROR" });
    expect((await call("POST", service, { body: whole })).status).toBe(201);
  });

  test.each(["[]", '"x"', "5", "true", '["library_item_id"]'])("%s is not a structure", async (body) => {
    const { text } = await call("GET", service);
    expect(refusalIn(await call("POST", service, { body }))).toBe(malformed);
    expect(refusalIn(await call("POST", `${service}/x?action=keep-alive`, { body }))).toBe(malformed);
    expect((await call("GET", service)).text).toBe(text);
  });

  test.each(["", "{}", "null"])("create with '%s' has no item", async (body) => {
    expect(refusalIn(await call("POST", service, { body }))).toBe(
      "400 INVALID_ARGUMENT downlease.argument.missing",
    );
  });

  test.each(["keep-alive", "fail", "cancel"])("%s without a body", async (action) => {
    const path = (id: string) => `${service}/${id}?action=${action}`;
    expect((await call("POST", path(await newSession()))).status).toBe(204);
    expect((await call("POST", path(await newSession()), { body: "" })).status).toBe(204);
    expect((await call("POST", path(await newSession()), { body: "{}" })).status).toBe(204);
    const chunked = { headers: { "transfer-encoding": "chunked" }, type: "application/json" };
    expect((await call("POST", path(await newSession()), chunked)).status).toBe(204);
  });

  test("a GET with a {} body and query parameters of others", async () => {
    const id = await newSession();
    expect((await call("GET", `${service}/${id}?trace=1&vmw-task=true`, { body: "{}" })).status).toBe(200);
  });

  test.each([
    ["application/xml", "<KeepAlive-Input><progress>10</progress></KeepAlive-Input>"],
    ["text/xml", "<KeepAlive-Input/>"],
    ["application/x-www-form-urlencoded", "progress=10"],
    ["text/plain", '{"progress":10}'],
    ["application/json; charset=utf-16", '{"progress":10}'],
    ["rubbish", "{}"],
  ])("%s is not read", async (type, body) => {
    const id = await newSession();
    const answer = await call("POST", `${service}/${id}?action=keep-alive`, { body, type, accept: type });
    expect(refusalIn(answer)).toBe(mediaType);
    expect(JSON.parse(answer.text).messages[0].default_message).toMatch(/Send application\/json in UTF-8\.$/);
    expect(await progressOf(id)).toBe(0);
  });

  test("application/json with a charset is", async () => {
    const type = "application/json;charset=UTF-8";
    const path = `${service}/${await newSession()}?action=keep-alive`;
    expect((await call("POST", path, { body: '{"progress":10}', type })).status).toBe(204);
  });

  test("a compressed body is refused", async () => {
    const headers = { "content-encoding": "gzip" };
    const path = `${service}/${await newSession()}?action=keep-alive`;
    expect(refusalIn(await call("POST", path, { body: "{}", headers }))).toBe(mediaType);
  });

  test("a body above the limit is refused", async () => {
    const path = `${service}/${await newSession()}?action=keep-alive`;
    expect(refusalIn(await call("POST", path, { body: Buffer.alloc(65_537, " ") }))).toBe(
      "413 INVALID_REQUEST downlease.request.too_large",
    );
  });

  test.each(Object.keys(hostileJson))("hostile: %s", async (name) => {
    const id = await newSession();
    const [body, errorType] = hostileJson[name]!;
    const answer = await call("POST", `${service}/${id}?action=keep-alive`, { body });
    expect(refusalIn(answer)).toContain(`400 ${errorType} `);
    expect(await progressOf(id)).toBe(0);
  });
});

test.each(["application/xml", "text/xml", "text/html", "*/*", "rubbish;;q=x"])(
  "answers are JSON, even with Accept: %s",
  async (accept) => {
    const { status, type } = await call("GET", `${service}/${await newSession()}`, { accept });
    expect([status, type]).toEqual([200, "application/json"]);
    expect(refusalIn(await call("GET", `${service}/x`, { accept }))).toBe(noSession);
  },
);

test("a repeated action is refused", async () => {
  const path = `${service}/${await newSession()}?action=cancel&action=cancel`;
  expect(refusalIn(await call("POST", path))).toBe("400 INVALID_ARGUMENT downlease.argument.repeated");
});
