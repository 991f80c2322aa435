/** What clients of vSphere send besides what its documentation says, on every dialect. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { invocation } from "../support/json-rpc.ts";
import { type Answer, Sender, type Sent } from "../support/sender.ts";

let app: TestApp;
let item: string;
const sender = new Sender();
const name = "content/library/item/download-session";

beforeAll(async () => {
  app = await startTestApp();
  item = await app.addItem();
});
afterAll(async () => {
  sender.close();
  await app.stop();
});

const send = (sent: Sent): Promise<Answer> => sender.send(app.url, sent);

function post(path: string, body?: string, type = "application/json", accept?: string): Promise<Answer> {
  return send({
    method: "POST",
    path,
    ...(body !== undefined && { body: Buffer.from(body), type }),
    ...(accept !== undefined && { accept }),
  });
}

async function newSession(): Promise<string> {
  const { text } = await post(`/api/${name}`, JSON.stringify({ library_item_id: item }));
  return JSON.parse(text);
}

async function sessionOf(id: string): Promise<{ client_progress: number; state: string }> {
  return JSON.parse((await send({ method: "GET", path: `/api/${name}/${id}` })).text);
}

/** Status, id and text of the error, in any dialect. */
function errorIn({ status, text }: Answer): [status: number, id: string, text: string] {
  const { value, messages = value.messages } = JSON.parse(text);
  return [status, messages[0].id, messages[0].default_message];
}

/** A path on `/api`, `/rest` and of 2014. */
const actionPaths: readonly [dialect: string, pathOf: (id: string, action: string) => string][] = [
  ["/api", (id, action) => `/api/${name}/${id}?action=${action}`],
  ["/rest", (id, action) => `/rest/com/vmware/${name}/id:${id}?~action=${action}`],
  ["2014", (id, action) => `/com/vmware/${name}/id:${id}?~action=${action}`],
];

describe.each(actionPaths)("on %s", (dialect, pathOf) => {
  test("a long may be a text of digits", async () => {
    const id = await newSession();
    const { status } = await post(pathOf(id, "keep-alive"), '{"progress":"50"}');
    expect(status).toBeLessThan(300);
    expect(await sessionOf(id)).toMatchObject({ client_progress: 50 });
  });

  test.each(["null", " null\n"])("the body %j is an empty one", async (body) => {
    const id = await newSession();
    const statuses = [
      (await post(pathOf(id, "keep-alive"), body)).status,
      (await post(pathOf(id, "cancel"), body)).status,
    ];
    expect(statuses).toEqual(dialect === "/api" ? [204, 204] : [200, 200]);
    expect(await sessionOf(id)).toMatchObject({ client_progress: 0, state: "CANCELED" });
  });

  test.each([
    ["keepalive", "keep-alive"],
    ["keep_alive", "keep-alive"],
    ["KEEP-ALIVE", "keep-alive"],
    ["cancle", "cancel"],
  ])("the unknown action %s is named, and %s suggested", async (action, meant) => {
    const path = pathOf("x", action);
    const parameter = dialect === "/api" ? "action" : "~action";
    expect(errorIn(await post(path))).toEqual([
      404,
      "downlease.operation.not_found",
      `There is no operation for POST ${path.split("?")[0]} with ${parameter}=${action} ` +
        `(did you mean ${parameter}=${meant}?).`,
    ]);
  });

  test("an action that resembles none gets a list", async () => {
    const [, , text] = errorIn(await post(`${pathOf("x", "restart")}&secret=hidden`));
    expect(text).toMatch(/ with ~?action=restart \(it has ~?action=.*, and ~?action=keep-alive\)\.$/);
    expect(text).not.toContain("hidden");
  });

  test("the action of another method, or in another dialect's parameter, is recognized", async () => {
    const path = pathOf("x", "keep-alive");
    const [, , byGet] = errorIn(await send({ method: "GET", path }));
    expect(byGet).toMatch(/did you mean POST with ~?action=keep-alive\?/);
    const foreign = dialect === "/api" ? path.replace("?", "?~") : path.replace("~", "");
    const [own, other] = dialect === "/api" ? ["action", "~action"] : ["~action", "action"];
    const [, , text] = errorIn(await post(foreign));
    expect(text).toContain(`with ${other}=keep-alive (did you mean ${own}=keep-alive?)`);
  });

  test("a long action is cut", async () => {
    const [status, , text] = errorIn(await post(pathOf("x", "y".repeat(5000))));
    expect([status, text.length < 1000]).toEqual([404, true]);
  });
});

test("an XML root that is nil is an empty body", async () => {
  const id = await newSession();
  const xsi = "http://www.w3.org/2001/XMLSchema-instance";
  const body = `<KeepAlive-Input xmlns:xsi="${xsi}" xsi:nil="true"/>`;
  const answer = await post(`/rest/com/vmware/${name}/id:${id}?~action=keep-alive`, body, "text/xml");
  expect(answer.status).toBe(200);
});

test("a long may be a text of digits in JSON-RPC, too", async () => {
  const id = await newSession();
  const input = { download_session_id: id, progress: { OPTIONAL: "70" } };
  const { text } = await post("/api", JSON.stringify(invocation("keep_alive", input)));
  expect(JSON.parse(text).result).toEqual({ output: null });
  expect(await sessionOf(id)).toMatchObject({ client_progress: 70 });
});

test.each([
  ["/api/content/library/item?action=find", { source_id: "" }, "spec.source_id"],
  ["/api/content/library/item?action=find", { library_id: "" }, "spec.library_id"],
  ["/rest/com/vmware/content/library/item?~action=get", { library_item_id: "" }, "library_item_id"],
  ["/com/vmware/content/library/item?~action=get", {}, "library_item_id"],
])("%s with %j: the message holds for a text that is empty", async (path, body, field) => {
  expect(errorIn(await post(path, JSON.stringify(body)))).toEqual([
    400,
    "downlease.argument.missing",
    `'${field}' must be set, and must not be empty.`,
  ]);
});

const chrome = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
const spring = "application/xml, text/xml, application/json, application/*+xml, application/*+json";

describe.each([
  ["/rest/com/vmware/content/library", "application/json"],
  ["/rest/nowhere", "application/json"],
  ["/com/vmware/content/library", "application/xml"],
  ["/nowhere", "application/xml"],
])("of JSON and XML, %s gives", (path, ifEqual) => {
  test.each([
    ["equal", spring, ifEqual],
    ["equal, by a wildcard", "application/xml, */*", ifEqual],
    ["equal, with parameters", "application/xml;q=0.5, application/json; charset=utf-8; Q=0.5", ifEqual],
    ["equal, JSON first", "application/json, application/xml", "application/json"],
    ["a browser's", chrome, ifEqual],
    ["preferably XML", "application/xml, application/json;q=0.9, text/html;q=0.5", "application/xml"],
    ["preferably XML to anything", "text/xml, */*;q=0.1", "text/xml"],
    ["preferably JSON", "application/xml;q=0.3, application/json;q=0.4", "application/json"],
    ["never JSON", "application/json;q=0, */*", "application/xml"],
  ])("what is %s: %s", async (_, accept, type) => {
    expect((await send({ method: "GET", path, accept })).type).toBe(type);
  });
});

describe("the name of a service is not an id", () => {
  test.each([
    "/content/library/item/file?library_item_id=photon",
    "/content/library/item/file",
    "/content/library/item/file/file",
    "/content/library/item/downloadsession",
    "/content/library/subscribed-item?library_id=demo",
    "/content/library/item/changes?library_item_id=photon",
  ])("GET /api%s has no operation", async (path) => {
    const [status, id] = errorIn(await send({ method: "GET", path: `/api${path}` }));
    expect([status, id]).toEqual([404, "downlease.operation.not_found"]);
  });

  test.each([
    ["/content/library/item/files", "downlease.item.not_found"],
    ["/content/library/item/files?other=x", "downlease.item.not_found"],
    ["/content/library/item/files?library_item_id=files", "downlease.item.not_found"],
    ["/content/library/items", "downlease.library.not_found"],
  ])("GET /api%s is an id", async (path, messageId) => {
    const [status, id] = errorIn(await send({ method: "GET", path: `/api${path}` }));
    expect([status, id]).toEqual([404, messageId]);
  });

  test("with a prefix it is one", async () => {
    const answer = await send({ method: "GET", path: "/rest/com/vmware/content/library/item/id:file" });
    expect(errorIn(answer)[1]).toBe("downlease.item.not_found");
  });
});
