import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { JsonObject } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { grpcJsCall, grpcJsClient, loadInterface } from "../support/grpc-js.ts";
import { type LookUp, lookUpClients, type lookUps } from "../support/look-up-clients.ts";

const manyItems = 3_000;

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp();
  await rm(join(app.contentRoot, "lib"), { recursive: true });
  await put("Templates/.library.json", { id: "templates", description: 'a<b & "c" \u00e9' });
  await put("Templates/Photon/.item.json", { id: "photon", description: "one disk" });
  await put("Templates/Photon/photon.ovf", "descriptor");
  await put("Templates/Photon/disk 1.vmdk", "content");
  await put("Templates/Tools/.item.json", { id: "tools", type: "Custom" });
  await put("Templates/Tools/tools.iso", "");
  await put("discs/.library.json", { id: "discs" });
  await put("discs/photon/.item.json", { id: "photon-disc" });
  await put("discs/photon/photon.ISO", "12345");
  await put("discs/notes/.item.json", { id: "notes" });
  await put("discs/notes/notes.txt", "x");
  await put("empty/.library.json", { id: "empty" });
  for (let n = 0; n < manyItems; n++)
    await mkdir(join(app.contentRoot, "many", `item-${n}`), { recursive: true });
  await put("many/.library.json", { id: "many" });
}, 60_000);
afterAll(() => app.stop());

async function put(path: string, content: string | object): Promise<void> {
  const file = join(app.contentRoot, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, typeof content === "string" ? content : JSON.stringify(content));
}

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
const version = expect.stringMatching(/^[0-9a-f]{16}$/);
/** The same for every service, because ids of libraries and items come from names alone. */
const serverGuid = "c5989791-6b88-5016-b9b5-85bb444da06a";
const noSuchLibrary = "404 downlease.library.not_found";
const noSuchItem = "404 downlease.item.not_found";
const noSuchFile = "404 downlease.file.not_found";
const missing = "400 downlease.argument.missing";
const notIdentifier = "400 downlease.argument.identifier";
const saysNothing = "400 downlease.argument.find_spec";

/** Operation, parameters, and the answer over every protocol. */
const cases: [what: keyof typeof lookUps, parameters: JsonObject, answer: unknown][] = [
  ["library.list", {}, ["templates", "discs", "empty", "many"]],
  [
    "library.get",
    { library_id: "templates" },
    {
      id: "templates",
      name: "Templates",
      description: 'a<b & "c" \u00e9',
      type: "LOCAL",
      creation_time: time,
      last_modified_time: time,
      version,
      server_guid: serverGuid,
      publish_info: { authentication_method: "NONE", published: "false", persist_json_enabled: "false" },
    },
  ],
  ["library.get", { library_id: "discs" }, expect.objectContaining({ name: "discs", description: "" })],
  ["library.get", { library_id: "Templates" }, noSuchLibrary],
  ["library.get", { library_id: "photon" }, noSuchLibrary],
  ["library.get", {}, missing],
  ["library.get", { library_id: "a\nb" }, notIdentifier],
  ["library.get", { library_id: "x".repeat(257) }, notIdentifier],
  ["library.find", { spec: { name: "tEMPLATES" } }, ["templates"]],
  ["library.find", { spec: { type: "LOCAL" } }, ["templates", "discs", "empty", "many"]],
  ["library.find", { spec: { name: "DISCS", type: "LOCAL" } }, ["discs"]],
  ["library.find", { spec: { type: "SUBSCRIBED" } }, undefined],
  ["library.find", { spec: { name: "discs", type: "SUBSCRIBED" } }, undefined],
  ["library.find", { spec: { name: "disc" } }, undefined],
  ["library.find", { spec: { name: "" } }, undefined],
  ["library.find", { spec: { name: "\u0000../.*%" } }, undefined],
  ["library.find", { spec: { name: "x".repeat(10_000) } }, undefined],
  ["library.find", {}, missing],

  ["item.list", { library_id: "templates" }, ["photon", "tools"]],
  ["item.list", { library_id: "empty" }, undefined],
  ["item.list", { library_id: "nobody" }, noSuchLibrary],
  ["item.list", {}, missing],
  ["item.list", { library_id: "a\u007fb" }, notIdentifier],
  [
    "item.get",
    { library_item_id: "photon" },
    {
      id: "photon",
      library_id: "templates",
      name: "Photon",
      description: "one disk",
      type: "ovf",
      size: "17",
      cached: "true",
      content_version: version,
      creation_time: time,
      last_modified_time: time,
      version,
      metadata_version: version,
    },
  ],
  ["item.get", { library_item_id: "tools" }, expect.objectContaining({ type: "Custom", size: "0" })],
  ["item.get", { library_item_id: "templates" }, noSuchItem],
  ["item.get", { library_item_id: "../Templates/Photon" }, noSuchItem],
  ["item.get", {}, missing],
  ["item.get", { library_item_id: "\u0085" }, notIdentifier],
  ["item.find", { spec: { name: "photon" } }, ["photon", "photon-disc"]],
  ["item.find", { spec: { name: "PHOTON", library_id: "discs" } }, ["photon-disc"]],
  ["item.find", { spec: { type: "ISO" } }, ["photon-disc"]],
  ["item.find", { spec: { type: "custom" } }, ["tools"]],
  ["item.find", { spec: { type: "" } }, undefined],
  ["item.find", { spec: { name: "photon", type: "OVF", library_id: "templates", cached: true } }, ["photon"]],
  ["item.find", { spec: { library_id: "discs" } }, ["notes", "photon-disc"]],
  ["item.find", { spec: { library_id: "discs", cached: true } }, ["notes", "photon-disc"]],
  ["item.find", { spec: { library_id: "discs", cached: false } }, undefined],
  ["item.find", { spec: { library_id: "discs", source_id: "photon" } }, undefined],
  ["item.find", { spec: { library_id: "nobody" } }, undefined],
  ["item.find", { spec: { library_id: "nobody", name: "photon" } }, undefined],
  ["item.find", { spec: { library_id: "a\nb" } }, notIdentifier],
  ["item.find", { spec: { source_id: "a\nb" } }, notIdentifier],
  ["item.find", {}, missing],

  [
    "file.list",
    { library_item_id: "photon" },
    [
      { name: "disk 1.vmdk", size: "7", cached: "true", version },
      { name: "photon.ovf", size: "10", cached: "true", version },
    ],
  ],
  ["file.list", { library_item_id: "nobody" }, noSuchItem],
  ["file.list", {}, missing],
  [
    "file.get",
    { library_item_id: "photon", name: "disk 1.vmdk" },
    { name: "disk 1.vmdk", size: "7", cached: "true", version },
  ],
  ["file.get", { library_item_id: "photon", name: "PHOTON.OVF" }, noSuchFile],
  ["file.get", { library_item_id: "photon", name: ".item.json" }, noSuchFile],
  ["file.get", { library_item_id: "photon", name: "../Tools/tools.iso" }, noSuchFile],
  ["file.get", { library_item_id: "nobody", name: "photon.ovf" }, noSuchItem],
  ["file.get", { library_item_id: "photon" }, missing],
  ["file.get", { name: "photon.ovf" }, missing],
  ["file.get", { library_item_id: "photon", name: "a\tb" }, notIdentifier],
];

/** XML cannot carry every character of a text. */
const isBeyondXml = (parameters: JsonObject) => /\\u00|\x7f|\\[nt]/.test(JSON.stringify(parameters));

describe.each(Object.keys(lookUpClients))("%s", (protocol) => {
  const lookUp: LookUp = (what, parameters) => lookUpClients[protocol]!(app.url)(what, parameters);
  const able = cases.filter(([, parameters]) => protocol !== "REST, XML" || !isBeyondXml(parameters));

  const titled = able.map((row) => [`${row[0]} of ${JSON.stringify(row[1]).slice(0, 100)}`, ...row] as const);
  test.each(titled)("%s", async (_, what, parameters, answer) => {
    expect(await lookUp(what, parameters)).toEqual(answer);
  });

  test("an empty specification is refused", async () => {
    expect(await lookUp("library.find", { spec: {} })).toBe(saysNothing);
    expect(await lookUp("item.find", { spec: {} })).toBe(saysNothing);
  });

  test("a library of thousands of items is listed and searched", async () => {
    const ids = (await lookUp("item.list", { library_id: "many" })) as string[];
    expect(new Set(ids).size).toBe(manyItems);
    const [match, ...others] = (await lookUp("item.find", { spec: { name: "ITEM-1234" } })) as string[];
    expect(others).toEqual([]);
    expect(await lookUp("item.get", { library_item_id: match! })).toMatchObject({ name: "item-1234" });
    expect(await lookUp("item.find", { spec: { library_id: "many", cached: true } })).toEqual(ids);
  });

  test("an item that is removed after it was listed is not found", async () => {
    const id = crypto.randomUUID();
    await put(`empty/${id}/.item.json`, { id });
    expect(await lookUp("item.find", { spec: { name: id } })).toEqual([id]);
    expect(await lookUp("item.list", { library_id: "empty" })).toEqual([id]);
    await rm(join(app.contentRoot, "empty", id), { recursive: true });
    expect(await lookUp("item.get", { library_item_id: id })).toBe(noSuchItem);
    expect(await lookUp("file.list", { library_item_id: id })).toBe(noSuchItem);
    expect(await lookUp("item.find", { spec: { name: id } })).toBeUndefined();
  });

  test("unreadable content is service_unavailable, never not_found, until it is readable again", async () => {
    await rename(app.contentRoot, `${app.contentRoot}.away`);
    try {
      for (const [what, parameters] of [
        ["library.list", {}],
        ["library.get", { library_id: "templates" }],
        ["library.find", { spec: { name: "templates" } }],
        ["item.list", { library_id: "templates" }],
        ["item.get", { library_item_id: "photon" }],
        ["item.find", { spec: { name: "photon" } }],
        ["file.list", { library_item_id: "photon" }],
        ["file.get", { library_item_id: "photon", name: "photon.ovf" }],
      ] as const) {
        expect(await lookUp(what, parameters), what).toBe("503 downlease.content.unavailable");
      }
    } finally {
      await rename(`${app.contentRoot}.away`, app.contentRoot);
    }
    expect(await lookUp("item.list", { library_id: "templates" })).toEqual(["photon", "tools"]);
  });
});

describe("REST", () => {
  const find = async (body: string, type = "application/json") => {
    const response = await fetch(`${app.url}/rest/com/vmware/content/library/item?~action=find`, {
      method: "POST",
      headers: { "content-type": type },
      body,
    });
    const { type: error, value } = (await response.json()) as { type: string; value: { messages: unknown } };
    return [response.status, error, JSON.stringify(value.messages)];
  };

  test.each([
    ['{"spec":{"nmae":"photon"}}', "spec.nmae"],
    ['{"spec":{"name":7}}', "spec.name"],
    ['{"spec":{"name":["photon"]}}', "spec.name"],
    ['{"spec":{"cached":"true"}}', "spec.cached"],
    ['{"spec":{"cached":1}}', "spec.cached"],
    ['{"spec":[]}', "spec"],
    ['{"spec":"photon"}', "spec"],
    ['{"spec":null}', "spec"],
    ['{"name":"photon"}', "name"],
    ['{"spec":{"__proto__":{"name":"photon"}}}', "__proto__"],
    ['{"spec":{"name":"\\ud800"}}', "spec.name"],
  ])("%s is an invalid argument that is named", async (body, named) => {
    const [status, error, messages] = await find(body);
    expect([status, error]).toEqual([400, "com.vmware.vapi.std.errors.invalid_argument"]);
    expect(messages).toContain(named);
  });

  test("an unknown type is an invalid argument", async () => {
    const response = await fetch(`${app.url}/com/vmware/content/library?~action=find`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"spec":{"type":"UNSPECIFIED"}}',
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("one of LOCAL, SUBSCRIBED");
  });

  test("empty lists and descriptions are written as documented", async () => {
    const get = async (path: string) => (await fetch(`${app.url}/rest/com/vmware/content/${path}`)).json();
    expect(await get("library/item?library_id=empty")).toEqual({ value: [] });
    expect(await get("library/id:empty")).toMatchObject({ value: { storage_backings: [], description: "" } });
    expect(await get("library/item/id:notes")).toEqual({
      value: {
        id: "notes",
        library_id: "discs",
        content_version: version,
        creation_time: time,
        description: "",
        last_modified_time: time,
        name: "notes",
        cached: true,
        size: 1,
        version,
        metadata_version: version,
      },
    });
    expect(await get("library/item/file?library_item_id=notes")).toEqual({
      value: [{ name: "notes.txt", size: 1, cached: true, version }],
    });
  });
});

test("gRPC: an unspecified type is no criterion, an unknown number matches nothing", async () => {
  const client = grpcJsClient(loadInterface(), "content.v1.LibraryService", app.url);
  const find = (spec: object) => grpcJsCall(client, "Find", { spec });
  expect((await find({ type: 0 })).details).toContain("'spec' must set");
  expect((await find({ type: 0, name: "discs" })).reply).toEqual({ library_ids: ["discs"] });
  expect((await find({ type: 99 })).reply).toEqual({});
  client.close();
});
