import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { RestRouteSchema } from "../../gen/vapi/v1/options_pb.ts";
import { BindingError, optionsOf, routeOf, templateOf } from "../../src/protocols/vapi/operation-options.ts";

const { create: creation, keepAlive } = DownloadSessionService.method;
const path = "/content/library/item/download-session";
const post = { case: "post", value: path } as const;

test("an operation is read with all its routes", () => {
  const { routes, ...options } = optionsOf(creation);
  expect(options).toMatchObject({
    serviceId: "com.vmware.content.library.item.download_session",
    operationId: "create",
    errors: ["invalid_argument", "not_found", "unable_to_allocate_resource"],
    inputRoot: {
      name: "Create-Input",
      namespace: "http://vmware.com/content/library/item/download_session",
    },
  });
  expect(routes.rest.map(templateOf)).toEqual([`/com/vmware${path}`, `/com/vmware${path}`]);
  expect(routes.api).toEqual([
    {
      method: "POST",
      segments: expect.any(Array),
      action: "",
      status: 201,
      body: "create_spec",
      dispatch: undefined,
      headers: [{ name: "Client-Token", field: "client_token", spellings: ["client-token", "client_token"] }],
    },
  ]);
});

test("a void operation answers 200, on /api 204", () => {
  const { routes } = optionsOf(keepAlive);
  expect(routes.rest.map(({ status }) => status)).toEqual([200, 200]);
  expect(routes.api.map(({ status }) => status)).toEqual([204]);
});

describe("an option that contradicts itself refuses to start", () => {
  const wrong: [string, MessageInitShape<typeof RestRouteSchema>][] = [
    ["no path", {}],
    ["a path without a slash", { pattern: { case: "post", value: "content" } }],
    ["an unknown variable", { pattern: { case: "post", value: "/{nobody}" } }],
    ["a variable that is no string", { pattern: { case: "post", value: "/{create_spec}" } }],
    ["a variable before a text", { pattern: { case: "post", value: "/{client_token}:id" } }],
    ["a broken variable", { pattern: { case: "post", value: "/{client_token" } }],
    ["an unknown body field", { pattern: post, body: "nobody" }],
    ["a body field that is no structure", { pattern: post, body: "client_token" }],
    ["a body of a GET", { pattern: { case: "get", value: path }, body: "create_spec" }],
    ["an unknown parameter that selects", { pattern: post, dispatch: "nobody" }],
    ["a header of an unknown field", { pattern: post, headers: [{ name: "X", field: "nobody" }] }],
    ["a header that is no string", { pattern: post, headers: [{ name: "X", field: "create_spec" }] }],
    ["a header without a name", { pattern: post, headers: [{ name: "", field: "client_token" }] }],
    ["a status that is not a success", { pattern: post, status: 404 }],
    ["a result with a status that has no body", { pattern: post, status: 204 }],
  ];
  test.each(wrong)("%s", (_, route) => {
    expect(() => routeOf(create(RestRouteSchema, route), creation, 200)).toThrow(BindingError);
  });

  test("but not a valid option", () => {
    const route = {
      pattern: post,
      body: "create_spec",
      headers: [{ name: "X", field: "client_token" }],
      status: 202,
    };
    expect(() => routeOf(create(RestRouteSchema, route), creation, 200)).not.toThrow();
  });
});
