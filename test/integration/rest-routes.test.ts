import { request } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";

let app: TestApp;
let item: string;
beforeAll(async () => {
  app = await startTestApp();
  item = await app.addItem();
});
afterAll(() => app.stop());

const service = "/rest/com/vmware/content/library/item/download-session";
const json = { "content-type": "application/json" };
const xmlns = "http://vmware.com/content/library/item/download_session";

async function call(
  method: string,
  path: string,
  options: { headers?: Record<string, string>; body?: string } = {},
) {
  const response = await fetch(app.url + path, { method, ...options });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text };
}

async function newSession(): Promise<string> {
  const body = JSON.stringify({ create_spec: { library_item_id: item } });
  const { text } = await call("POST", service, { headers: json, body });
  return JSON.parse(text).value;
}

async function progressOf(id: string): Promise<number> {
  return JSON.parse((await call("GET", `${service}/id:${id}`)).text).value.client_progress;
}

test("get answers as documented, field by field", async () => {
  const id = await newSession();
  const { text } = await call("GET", `${service}/id:${id}`);
  expect(JSON.parse(text)).toEqual({
    value: {
      id,
      library_item_id: item,
      library_item_content_version: expect.stringMatching(/^[0-9a-f]{16}$/),
      client_progress: 0,
      state: "ACTIVE",
      expiration_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    },
  });
});

test("a failed session shows its message in JSON and XML", async () => {
  const id = await newSession();
  await call("POST", `${service}/id:${id}?~action=fail`, {
    headers: json,
    body: '{"client_error_message":"a<b"}',
  });
  const asJson = await call("GET", `${service}/id:${id}`);
  expect(JSON.parse(asJson.text).value).toMatchObject({
    state: "ERROR",
    error_message: { id: "downlease.session.client_failed", default_message: "a<b", args: [] },
  });
  const asXml = await call("GET", `${service}/id:${id}`, { headers: { accept: "application/xml" } });
  expect(asXml.headers.get("content-type")).toBe("application/xml");
  expect(asXml.text).toContain(
    `<ns0:Get-Result xmlns:ns0="${xmlns}"><value><id>${id}</id><library_item_id>${item}`,
  );
  expect(asXml.text).toContain(
    "<default_message>a&lt;b</default_message><args-array></args-array></error_message>",
  );
});

describe("the seed's keep-alive", () => {
  const bodies: Record<string, (id: string) => { headers: Record<string, string>; body: string }> = {
    JSON: (id) => ({ headers: json, body: JSON.stringify({ progress: 10, download_session_id: id }) }),
    "JSON with a charset": (id) => ({
      headers: { "content-type": "application/json; charset=UTF-8" },
      body: JSON.stringify({ progress: 10, download_session_id: id }),
    }),
    XML: (id) => ({
      headers: { "content-type": "application/xml" },
      body: `<?xml version="1.0"?><ns0:KeepAlive-Input xmlns:ns0="${xmlns}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <progress>10</progress>
  <download_session_id>${id}</download_session_id>
</ns0:KeepAlive-Input>`,
    }),
    "text/xml": (id) => ({
      headers: { "content-type": "text/xml; charset=utf-8" },
      body: `<KeepAlive-Input><download_session_id>${id}</download_session_id><progress>10</progress></KeepAlive-Input>`,
    }),
    form: (id) => ({
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: `progress=10&download_session_id=${id}`,
    }),
    "form as printed": (id) => ({
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: `&progress=10\n&download_session_id=${id}\n`,
    }),
  };
  const actions = [
    "?~action=keep-alive",
    "?%7Eaction=keep-alive",
    "?~action=keep%2Dalive",
    "?tracing=1&~action=keep-alive",
  ];

  test.each(Object.keys(bodies))("%s", async (name) => {
    for (const action of actions) {
      for (const path of [service, service.slice("/rest".length)]) {
        const id = await newSession();
        for (const place of [path, `${path}/id:${id}`, `${path}/id%3A${id}`]) {
          const { status, text } = await call("POST", place + action, bodies[name]!(id));
          expect([place, status, text]).toEqual([place, 200, ""]);
        }
        expect(await progressOf(id)).toBe(10);
      }
    }
  });

  test("as a continued query string", async () => {
    const id = await newSession();
    const { status } = await call(
      "POST",
      `${service}?~action=keep-alive&progress=10&download_session_id=${id}`,
    );
    expect([status, await progressOf(id)]).toEqual([200, 10]);
  });

  test("an id in path and body that differs is refused, one that agrees is not", async () => {
    const id = await newSession();
    const send = (other: string) =>
      call("POST", `${service}/id:${id}?~action=keep-alive`, {
        headers: json,
        body: JSON.stringify({ download_session_id: other, progress: 10 }),
      });
    const refused = await send("obj-103");
    expect([refused.status, JSON.parse(refused.text).value.error_type]).toEqual([400, "INVALID_ARGUMENT"]);
    expect(await progressOf(id)).toBe(0);
    expect((await send(id)).status).toBe(200);
  });
});

describe("framing of unmodified clients", () => {
  /** Sends raw HTTP/1.1 and gives the status line's code. */
  function raw(text: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const socket = connect(app.port, "127.0.0.1", () => socket.write(text));
      socket.once("data", (chunk) => {
        resolve(Number(chunk.toString().split(" ")[1]));
        socket.destroy();
      });
      socket.once("error", reject);
    });
  }

  test.each(["keep-alive", "cancel", "fail"])(
    "govmomi: %s with a JSON content type and a zero-length chunked body",
    async (action) => {
      const id = await newSession();
      const head = `POST ${service}/id:${id}?~action=${action} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n`;
      expect(await raw(`${head}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`)).toBe(200);
    },
  );

  test("an empty body with a JSON content type", async () => {
    const id = await newSession();
    const head = `POST ${service}/id:${id}?~action=keep-alive HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n`;
    expect(await raw(`${head}content-length: 0\r\n\r\n`)).toBe(200);
  });

  test("the official SDK: a GET with a {} body", async () => {
    const id = await newSession();
    const head = `GET ${service}/id:${id} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}`;
    expect(await raw(head)).toBe(200);
    expect(await raw(`GET ${service} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\n{{{`)).toBe(200);
  });
});

describe("Accept", () => {
  test.each([
    [undefined, "application/json"],
    ["*/*", "application/json"],
    ["application/*", "application/json"],
    ["application/xml", "application/xml"],
    ["text/xml", "text/xml"],
    ["application/xml;q=0.1, application/json;q=0.2", "application/json"],
    ["application/xml;q=0.3, application/json;q=0.2", "application/xml"],
    ["application/json;q=0, */*", "application/xml"],
    ["text/html", "application/json"],
    ["rubbish;;q=x", "application/json"],
  ])("%s gives %s, for results and errors", async (accept, type) => {
    const headers: Record<string, string> = accept === undefined ? {} : { accept };
    for (const path of [service, `${service}/id:obj-103`, "/nowhere"]) {
      const answered = await new Promise<string | undefined>((resolve) => {
        request(app.url + path, { headers }, (response) => {
          response.resume();
          resolve(response.headers["content-type"]);
        }).end();
      });
      expect([path, answered]).toEqual([path, type]);
    }
  });
});

describe("X-Request-ID", () => {
  test("comes back", async () => {
    const { headers } = await call("GET", service, { headers: { "x-request-id": "trace-1" } });
    expect(headers.get("x-request-id")).toBe("trace-1");
  });

  test.each(["", "a b", "x".repeat(129)])("'%s' is replaced", async (requestId) => {
    const { headers } = await call("GET", service, { headers: { "x-request-id": requestId } });
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });
});
