import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { KeepAliveRequestSchema } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { planOf } from "../../src/vapi/binder.ts";
import { type Binding, BindingError, type Route } from "../../src/vapi/bindings.ts";
import { restDialect } from "../../src/vapi/dialects.ts";
import { pathMembers, RouteTable } from "../../src/vapi/route-table.ts";

const root = { name: "", namespace: "" };

function binding(name: string, ...routes: Partial<Route>[]): Binding {
  return {
    name,
    operationId: name,
    run: async () => create(KeepAliveRequestSchema),
    request: planOf(KeepAliveRequestSchema),
    isRoutine: false,
    isLogin: false,
    isLogout: false,
    result: undefined,
    routes: routes.map((route) => ({ method: "POST", path: "/s", action: "", status: 200, ...route })),
    inputRoot: root,
    resultRoot: root,
  };
}

function tableOf(...bindings: Binding[]): RouteTable {
  const table = new RouteTable();
  for (const each of bindings) table.add(each, restDialect);
  return table;
}

describe("a path", () => {
  const table = tableOf(
    binding("all", { method: "GET", path: "/s" }),
    binding("one", { method: "GET", path: "/s/id:{download_session_id}" }),
    binding("files", { method: "GET", path: "/s/id:{download_session_id}/file" }),
  );
  const lookUp = (path: string) => {
    const place = table.find(path);
    const target = place?.targets.get("GET")?.get("");
    return target && [target.binding.name, pathMembers(target, place!).download_session_id];
  };

  test.each([
    ["/s", "all", undefined],
    ["/rest/s", "all", undefined],
    ["/rest/s/id:x", "one", "x"],
    ["/rest/s/id%3Ax", "one", "x"],
    ["/rest/s/id:id:x", "one", "id:x"],
    ["/rest/s/id:uuid:uuid", "one", "uuid:uuid"],
    ["/rest/s/id:a%2Fb", "one", "a/b"],
    ["/rest/s/id:a+b", "one", "a+b"],
    ["/rest/s/id:%C3%A9", "one", "é"],
    ["/rest/s/id:a%2Fb/file", "files", "a/b"],
    ["/rest/%73/id:x", "one", "x"],
    ["/rest/s/id:", "one", ""],
  ])("%s leads to %s", (path, name, id) => expect(lookUp(path)).toEqual([name, id]));

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
  ])("%s leads nowhere", (path) => expect(lookUp(path)).toBeUndefined());

  test.each(["/s/id:%", "/s/id:%zz", "/s/id:%ff"])("%s is malformed", (path) => {
    expect(() => lookUp(path)).toThrow("percent-encoding");
  });
});

test("two operations on one route refuse to start", () => {
  expect(() => tableOf(binding("a", {}), binding("b", {}))).toThrow(BindingError);
  expect(() => tableOf(binding("a", { action: "x" }), binding("b", { action: "y" }))).not.toThrow();
});

test.each(["/s/id:{nobody}", "/s/{progress}"])(
  "the path %s, whose variable is no string field, refuses to start",
  (path) => {
    expect(() => tableOf(binding("a", { path }))).toThrow(BindingError);
  },
);
