import { describe, expect, test } from "vitest";
import type { Binding } from "../../src/protocols/vapi/bindings.ts";
import { type Dialect, dialects, restDialect } from "../../src/protocols/vapi/dialects.ts";
import { BindingError } from "../../src/protocols/vapi/operation-options.ts";
import { endpointOf, pathMembers, RouteTable } from "../../src/protocols/vapi/route-table.ts";
import { bindingOn, type RouteOption } from "../support/binding.ts";

const get = (path: string, more: RouteOption = {}): RouteOption => ({
  pattern: { case: "get", value: path },
  ...more,
});
const rest = (name: string, ...routes: RouteOption[]) => bindingOn({ rest: routes }, name);
const api = (name: string, ...routes: RouteOption[]) => bindingOn({ api: routes }, name);

function tableOf(bindings: readonly Binding[], spoken: readonly Dialect[] = dialects): RouteTable {
  const table = new RouteTable();
  for (const each of bindings) for (const dialect of spoken) table.add(each, dialect);
  return table;
}

const table = tableOf([
  rest("all", get("/s")),
  rest("one", get("/s/id:{download_session_id}")),
  rest("files", get("/s/id:{download_session_id}/file")),
  api("api all", get("/s")),
  api("api one", get("/s/{download_session_id}")),
  api("api files", get("/s/{download_session_id}/file")),
  api("api file", get("/s/{download_session_id}/file", { dispatch: "download_session_id" })),
]);

function lookUp(path: string, queryText = "") {
  const match = table.find(path);
  const endpoint = match && endpointOf(match, "GET", match.queries.read(queryText));
  return endpoint && [endpoint.binding.name, match.prefix, pathMembers(endpoint, match).download_session_id];
}

describe("a path", () => {
  test.each([
    ["/s", "all", "", undefined],
    ["/rest/s", "all", "/rest", undefined],
    ["/s/id:x", "one", "", "x"],
    ["/rest/s/id:x", "one", "/rest", "x"],
    ["/rest/s/id%3Ax", "one", "/rest", "x"],
    ["/rest/s/id:id:x", "one", "/rest", "id:x"],
    ["/rest/s/id:uuid:uuid", "one", "/rest", "uuid:uuid"],
    ["/rest/s/id:a%2Fb", "one", "/rest", "a/b"],
    ["/rest/s/id:a+b", "one", "/rest", "a+b"],
    ["/rest/s/id:%C3%A9", "one", "/rest", "é"],
    ["/rest/s/id:a%2Fb/file", "files", "/rest", "a/b"],
    ["/rest/%73/id:x", "one", "/rest", "x"],
    ["/rest/s/id:", "one", "/rest", ""],
    ["/api/s", "api all", "/api", undefined],
    ["/api/s/x", "api one", "/api", "x"],
    ["/api/s/id:x", "api one", "/api", "id:x"],
    ["/api/s/uuid:uuid", "api one", "/api", "uuid:uuid"],
    ["/api/s/uuid%3Auuid", "api one", "/api", "uuid:uuid"],
    ["/api/s/a%2Fb", "api one", "/api", "a/b"],
    ["/api/s/s", "api one", "/api", "s"],
    ["/api/s/file", "api one", "/api", "file"],
    ["/%61pi/s/x", "api one", "/api", "x"],
    ["/api/s/a%2Fb/file", "api files", "/api", "a/b"],
  ])("%s leads to %s", (path, name, prefix, id) => expect(lookUp(path)).toEqual([name, prefix, id]));

  test.each([
    "",
    "/",
    "/rest",
    "/rest/",
    "/rest/s/",
    "/rest/s/x",
    "/rest/S",
    "//s",
    "/rest/rest/s",
    "/s/id:x/",
    "/s%2Fid:x",
    "/../s",
    "/api",
    "/api/",
    "/api/s/",
    "/api/s//file",
    "/api/s/x/",
    "/api/rest/s",
    "/rest/api/s",
    "/API/s",
  ])("%s leads nowhere", (path) => expect(lookUp(path)).toBeUndefined());

  test.each(["/s/id:%", "/s/id:%zz", "/s/id:%ff", "/api/s/%zz"])("%s is malformed", (path) => {
    expect(() => lookUp(path)).toThrow("percent-encoding");
  });
});

test.each([
  ["", "api files"],
  ["other=1", "api files"],
  ["download_session_id=y", "api file"],
  ["download_session_id", "api file"],
  ["other=1&download_session_id=", "api file"],
])("a query parameter selects among the operations of a path: '%s'", (query, name) => {
  expect(lookUp("/api/s/x/file", query)?.[0]).toBe(name);
});

test.each([
  ["two operations on one route", [rest("a", get("/s")), rest("b", get("/s"))]],
  ["two dialects on one path", [rest("a", get("/api/s")), api("b", get("/s"))]],
  ["two prefixes on one path", [rest("a", get("/rest/s")), rest("b", get("/s"))]],
  [
    "two operations that one parameter selects",
    [
      api("a", get("/s", { dispatch: "download_session_id" })),
      api("b", get("/s", { dispatch: "download_session_id" })),
    ],
  ],
])("%s refuse to start", (_, bindings) => expect(() => tableOf(bindings)).toThrow(BindingError));

test("two operations with actions of their own share a path", () => {
  const bindings = [rest("a", get("/s", { action: "x" })), rest("b", get("/s", { action: "y" }))];
  expect(() => tableOf(bindings, [restDialect])).not.toThrow();
});
