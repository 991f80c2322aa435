import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { invocation, type Post, postOverHttp1, postOverHttp2, sessionService } from "../support/json-rpc.ts";

let app: TestApp;
let item: string;
beforeAll(async () => {
  app = await startTestApp();
  item = await app.addItem();
});
afterAll(() => app.stop());

const modelName = "com.vmware.content.library.item.download_session_model";
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const unset = { OPTIONAL: null };

const transports: Record<string, () => Post> = {
  "HTTP/1.1": () => postOverHttp1(app.url),
  "HTTP/2": () => postOverHttp2(app.url),
};

/** The exchanges of the documentation, as the SDKs write them. */
describe.each(Object.keys(transports))("exchanges over %s", (transport) => {
  let post: Post;
  beforeAll(() => {
    post = transports[transport]!();
  });

  const session = (loginId = "5b1f2c7e9d0a4c3e8f6a1b2c3d4e5f60") => ({
    schemeId: "com.vmware.vapi.std.security.session_id",
    sessionId: loginId,
  });

  async function exchange(id: string, operationId: string, input: object) {
    const whole = invocation(operationId, input, { id });
    whole.params.ctx.securityCtx = session();
    const { status, headers, text } = await post(JSON.stringify(whole));
    expect([status, headers["content-type"], headers["cache-control"]]).toEqual([
      200,
      "application/json",
      "no-store",
    ]);
    return { answer: JSON.parse(text), text, headers };
  }

  async function created(): Promise<string> {
    const { answer } = await exchange("1", "create", {
      client_token: { OPTIONAL: crypto.randomUUID() },
      create_spec: {
        STRUCTURE: {
          [modelName]: {
            id: unset,
            library_item_id: { OPTIONAL: item },
            library_item_content_version: unset,
            error_message: unset,
            client_progress: unset,
            state: unset,
            expiration_time: unset,
          },
        },
      },
    });
    const { output } = answer.result;
    expect(answer).toEqual({ jsonrpc: "2.0", id: "1", result: { output: expect.any(String) } });
    return output;
  }

  test("create, keep_alive, get", async () => {
    const id = await created();
    const renewed = await exchange("4", "keep_alive", {
      download_session_id: id,
      progress: { OPTIONAL: 40 },
    });
    expect(renewed.text).toBe('{"jsonrpc":"2.0","id":"4","result":{"output":null}}');
    const without = await exchange("4", "keep_alive", { download_session_id: id, progress: unset });
    expect(without.answer).toEqual({ jsonrpc: "2.0", id: "4", result: { output: null } });
    const { answer } = await exchange("5", "get", { download_session_id: id });
    expect(answer).toEqual({
      jsonrpc: "2.0",
      id: "5",
      result: {
        output: {
          STRUCTURE: {
            [modelName]: {
              id: { OPTIONAL: id },
              library_item_id: { OPTIONAL: item },
              library_item_content_version: { OPTIONAL: expect.stringMatching(/^[0-9a-f]{16}$/) },
              error_message: unset,
              client_progress: { OPTIONAL: 40 },
              state: { OPTIONAL: "ACTIVE" },
              expiration_time: {
                OPTIONAL: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
              },
            },
          },
        },
      },
    });
  });

  test("list", async () => {
    const id = await created();
    const { answer } = await exchange("2", "list", { library_item_id: unset });
    expect(answer.result.output).toContain(id);
  });

  test("fail, cancel, delete", async () => {
    const id = await created();
    const failed = await exchange("6", "fail", {
      download_session_id: id,
      client_error_message: "disk full on client",
    });
    expect(failed.answer.result).toEqual({ output: null });
    const { answer } = await exchange("7", "get", { download_session_id: id });
    const model = answer.result.output.STRUCTURE[modelName];
    expect(model.error_message).toEqual({
      OPTIONAL: {
        STRUCTURE: {
          "com.vmware.vapi.std.localizable_message": {
            id: "downlease.session.client_failed",
            default_message: "disk full on client",
            args: [],
            params: unset,
            localized: unset,
          },
        },
      },
    });
    const canceled = await created();
    expect(
      (await exchange("8", "cancel", { download_session_id: canceled })).answer.result.output,
    ).toBeNull();
    expect(
      (await exchange("9", "delete", { download_session_id: canceled })).answer.result.output,
    ).toBeNull();
  });

  test("an error of an operation is a result", async () => {
    const id = await created();
    await exchange("5", "cancel", { download_session_id: id });
    const { answer, headers } = await exchange("6", "keep_alive", {
      download_session_id: id,
      progress: unset,
    });
    const name = "com.vmware.vapi.std.errors.not_allowed_in_current_state";
    expect(headers["vapi-error"]).toBe(name);
    expect(answer).toEqual({
      jsonrpc: "2.0",
      id: "6",
      result: {
        error: {
          ERROR: {
            [name]: {
              messages: [
                {
                  STRUCTURE: {
                    "com.vmware.vapi.std.localizable_message": {
                      id: "downlease.session.not_active",
                      default_message: `Download session '${id}' is CANCELED, not ACTIVE. Create a new session to continue.`,
                      args: [id, "CANCELED"],
                      params: unset,
                      localized: unset,
                    },
                  },
                },
              ],
              data: unset,
              error_type: { OPTIONAL: "NOT_ALLOWED_IN_CURRENT_STATE" },
            },
          },
        },
      },
    });
  });
});

/** A good request as text, for what JSON.stringify would tidy up. */
const text = (id: string, input = "{}", operationId = "list", more = "") =>
  `{"jsonrpc":"2.0","method":"invoke",${id}"params":{"serviceId":"${sessionService}","operationId":"${operationId}","input":{"STRUCTURE":{"operation-input":${input}}}${more}}}`;

describe("ids are echoed exactly as written", () => {
  test.each([
    '"0"',
    '""',
    '"\\u00e9\\/\\ud800"',
    '"é\u2028🙁"',
    '"1"',
    "1",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e3",
    "1E+2",
    "10.50",
    "9007199254740993",
    "123456789012345678901234567890",
    "1e400",
    "null",
    `"${"x".repeat(50_000)}"`,
    "9".repeat(50_000),
    '"__proto__"',
  ])("%.60s", async (id) => {
    const { status, text: answer } = await postOverHttp1(app.url)(
      text(`"id":${id},`, '{"library_item_id":{"OPTIONAL":"x"}}'),
    );
    expect(status).toBe(200);
    expect(answer.startsWith(`{"jsonrpc":"2.0","id":${id},"result":{`)).toBe(true);
  });

  test("also with errors of the protocol, and the last one counts", async () => {
    const post = postOverHttp1(app.url);
    expect((await post('{"jsonrpc":"2.0","method":"no","id":1.0}')).text).toContain(
      '"id":1.0,"error":{"code":-32601,',
    );
    expect((await post(text('"id":"\\u0061","id":"\\u0062",'))).text).toContain('"id":"\\u0062",');
  });
});

describe("a request that is not an invocation is an error of JSON-RPC", () => {
  const good = () => JSON.stringify(invocation("list", {}));
  const changed = (
    change: (whole: Record<string, unknown> & { params: Record<string, unknown> }) => void,
  ) => {
    const whole = invocation("list", {});
    change(whole as never);
    return JSON.stringify(whole);
  };
  const rows: [
    name: string,
    code: number,
    body: () => string | Uint8Array,
    headers?: Record<string, string>,
  ][] = [
    ["an empty body", -32700, () => ""],
    ["truncated", -32700, () => good().slice(0, -1)],
    ["trailing junk", -32700, () => `${good()}}`],
    ["bytes that are not UTF-8", -32700, () => Buffer.from([0x7b, 0xff, 0x7d])],
    ["UTF-16", -32700, () => Buffer.from(good(), "utf16le")],
    ["lists nested 30,000 deep", -32700, () => "[".repeat(30_000)],
    ["structures nested and closed", -32700, () => `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`],
    ["a batch", -32600, () => `[${good()}]`],
    ["an empty batch", -32600, () => "[]"],
    ["null", -32600, () => "null"],
    ["a number", -32600, () => "5"],
    ["no id", -32600, () => changed((whole) => delete whole.id)],
    ["an id that is true", -32600, () => changed((whole) => (whole.id = true))],
    ["an id that is a list", -32600, () => changed((whole) => (whole.id = [1]))],
    ["an id that is an object", -32600, () => changed((whole) => (whole.id = { a: 1 }))],
    ["JSON-RPC 1.0", -32600, () => changed((whole) => (whole.jsonrpc = "1.0"))],
    ["jsonrpc as a number", -32600, () => changed((whole) => (whole.jsonrpc = 2.0))],
    ["no jsonrpc", -32600, () => changed((whole) => delete whole.jsonrpc)],
    ["no method", -32600, () => changed((whole) => delete whole.method)],
    ["XML", -32600, good, { "content-type": "application/xml" }],
    ["a malformed content type", -32600, good, { "content-type": "rubbish" }],
    ["a charset that is not UTF-8", -32600, good, { "content-type": "application/json; charset=utf-16" }],
    ["compression", -32600, good, { "content-encoding": "gzip" }],
    ["a body one byte too large", -32600, () => good().padEnd(65_537)],
    ["a body of 10 MB", -32600, () => good().padEnd(10_000_000)],
    ["another method", -32601, () => changed((whole) => (whole.method = "constructor"))],
    ["no params", -32602, () => changed((whole) => delete (whole as { params?: unknown }).params)],
    ["params in a list", -32602, () => changed((whole) => (whole.params = [] as never))],
    ["no service", -32602, () => changed(({ params }) => delete params.serviceId)],
    ["a service that is a number", -32602, () => changed(({ params }) => (params.serviceId = 1))],
    ["no operation", -32602, () => changed(({ params }) => delete params.operationId)],
    ["no input", -32602, () => changed(({ params }) => delete params.input)],
    ["a context that is a text", -32602, () => changed(({ params }) => (params.ctx = "x"))],
    ["another service in the headers", -31001, good, { "vapi-service": "com.vmware.cis.session" }],
    ["another operation in the headers", -31001, good, { "vapi-operation": "get" }],
  ];
  test.each(rows)("%s: %d", async (_name, code, body, headers) => {
    for (const post of Object.values(transports).map((open) => open())) {
      const { status, headers: answered, text: answer } = await post(body(), headers);
      expect([status, answered["content-type"]]).toEqual([200, "application/json"]);
      const parsed = JSON.parse(answer);
      expect(parsed).toEqual({
        jsonrpc: "2.0",
        id: [null, "1"].includes(parsed.id) ? parsed.id : "one of these",
        error: { code, message: expect.stringMatching(/\.$/) },
      });
    }
  });

  test.each([
    ["text/plain", false],
    ["application/json; charset=utf-8", true],
    ["APPLICATION/JSON", true],
  ])("content type %s", async (type, isAccepted) => {
    const { text: answer } = await postOverHttp1(app.url)(good(), { "content-type": type });
    expect("result" in JSON.parse(answer)).toBe(isAccepted);
  });
});

describe("malformed input of an operation", () => {
  const id = '"id":"1",';
  const model = (members: string, name = modelName) => `{"create_spec":{"STRUCTURE":{"${name}":${members}}}}`;
  const rows: [name: string, type: string, messageId: string, body: string][] = [
    [
      "an unknown service",
      "operation_not_found",
      "vapi.method.input.invalid.interface",
      text(id).replace(sessionService, "com.vmware.content.library.item.DownloadSession"),
    ],
    [
      "a service by the name of a prototype",
      "operation_not_found",
      "vapi.method.input.invalid.interface",
      text(id).replace(sessionService, "__proto__"),
    ],
    [
      "an unknown operation",
      "operation_not_found",
      "vapi.method.input.invalid.method",
      text(id, "{}", "keep-alive"),
    ],
    [
      "an operation by the name of a prototype",
      "operation_not_found",
      "vapi.method.input.invalid.method",
      text(id, "{}", "constructor"),
    ],
    [
      "a field that is missing",
      "invalid_argument",
      "vapi.data.structure.field.missing",
      text(id, "{}", "get"),
    ],
    [
      "an unexpected field that is set",
      "invalid_argument",
      "vapi.data.structure.field.unexpected",
      text(id, '{"a":{"OPTIONAL":1}}'),
    ],
    ["an unexpected field", "invalid_argument", "vapi.data.structure.field.unexpected", text(id, '{"a":1}')],
    [
      "__proto__",
      "invalid_argument",
      "vapi.data.structure.field.unexpected",
      text(id, '{"__proto__":{"library_item_id":1}}'),
    ],
    [
      "an input of another name",
      "invalid_argument",
      "vapi.data.structure.name.mismatch",
      text(id).replace("operation-input", "list-input"),
    ],
    [
      "a structure of another name",
      "invalid_argument",
      "vapi.data.structure.name.mismatch",
      text(id, model("{}", "com.vmware.content.library.item_model"), "create"),
    ],
    [
      "an input that is not a structure",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id).replace('{"STRUCTURE":{"operation-input":{}}}', "{}"),
    ],
    [
      "an input that is null",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id).replace('{"STRUCTURE":{"operation-input":{}}}', "null"),
    ],
    [
      "a structure of two names",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id).replace('"operation-input":{}', '"operation-input":{},"b":{}'),
    ],
    [
      "a structure without a name",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id).replace('"operation-input":{}', ""),
    ],
    [
      "an optional without its wrapper",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id, '{"library_item_id":"x"}'),
    ],
    [
      "a wrapper around a required field",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id, '{"download_session_id":{"OPTIONAL":"x"}}', "get"),
    ],
    [
      "null for a required field",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id, '{"download_session_id":null}', "get"),
    ],
    [
      "two members in a wrapper",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id, '{"library_item_id":{"OPTIONAL":null,"a":1}}'),
    ],
    [
      "a number for a text",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id, '{"library_item_id":{"OPTIONAL":1}}'),
    ],
    ...["10.0", "1e1", '""', '"ten"', "9223372036854775808", "true", "[1]", "9".repeat(60_000)].map(
      (value): [string, string, string, string] => [
        `${value.slice(0, 20)} for a long`,
        "invalid_argument",
        "vapi.method.input.invalid",
        text(id, `{"download_session_id":"x","progress":{"OPTIONAL":${value}}}`, "keep_alive"),
      ],
    ),
    [
      "an unknown state",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id, model('{"state":{"OPTIONAL":"GONE"}}'), "create"),
    ],
    [
      "a bad date",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id, model('{"expiration_time":{"OPTIONAL":"yesterday"}}'), "create"),
    ],
    [
      "a lone surrogate",
      "invalid_argument",
      "vapi.method.input.invalid",
      text(id, '{"library_item_id":{"OPTIONAL":"\\ud800"}}'),
    ],
    [
      "NUL in an id",
      "invalid_argument",
      "downlease.argument.identifier",
      text(id, '{"download_session_id":"a\\u0000"}', "get"),
    ],
  ];
  test("an unexpected field that is unset is not: newer clients have more fields", async () => {
    const { headers, text: answer } = await postOverHttp1(app.url)(text(id, '{"a":{"OPTIONAL":null}}'));
    expect([headers["vapi-error"], JSON.parse(answer).result]).toEqual([
      undefined,
      { output: expect.any(Array) },
    ]);
  });

  test.each(rows)("%s", async (_name, type, messageId, body) => {
    const { status, headers, text: answer } = await postOverHttp1(app.url)(body);
    const name = `com.vmware.vapi.std.errors.${type}`;
    expect([status, headers["vapi-error"]]).toEqual([200, name]);
    const { [name]: error } = JSON.parse(answer).result.error.ERROR;
    expect(error.error_type).toEqual({ OPTIONAL: type.toUpperCase() });
    expect(error.messages[0].STRUCTURE["com.vmware.vapi.std.localizable_message"].id).toBe(messageId);
  });

  test("optional fields may be left out, and a date may have a zone", async () => {
    const spec = model(
      `{"library_item_id":{"OPTIONAL":"${item}"},"expiration_time":{"OPTIONAL":"2025-03-04T10:15:30+01:00"}}`,
    );
    const { text: answer } = await postOverHttp1(app.url)(text(id, spec, "create"));
    expect(JSON.parse(answer).result.output).toMatch(uuid);
  });
});

describe("the execution context", () => {
  const withContext = (context: string) => text('"id":"1",', "{}", "list", `,"ctx":${context}`);

  test("opId is the request id, and the headers take precedence", async () => {
    const post = postOverHttp1(app.url);
    const body = withContext('{"appCtx":{"opId":"op-1","actId":null}}');
    expect((await post(body)).headers["x-request-id"]).toBe("op-1");
    expect((await post(body, { "x-request-id": "r-1" })).headers["x-request-id"]).toBe("r-1");
    expect(
      (await post(body, { "vapi-ctx-opid": "h-1", "x-request-id": "r-1" })).headers["x-request-id"],
    ).toBe("h-1");
  });

  test.each([
    "null",
    "{}",
    '{"appCtx":null,"securityCtx":null}',
    '{"appCtx":{"opId":{}}}',
    `{"appCtx":{"opId":"${"x".repeat(1000)}"}}`,
    '{"appCtx":{"opId":"a\\r\\nx: y"}}',
    '{"securityCtx":{"schemeId":null}}',
    '{"securityCtx":{"schemeId":7}}',
    '{"securityCtx":{"schemeId":["x"]}}',
    '{"securityCtx":{"schemeId":{"toString":1,"valueOf":1}}}',
    '{"securityCtx":{"schemeId":"com.vmware.vapi.std.security.session_id","sessionId":{"toString":1}}}',
    '{"securityCtx":{"schemeId":"com.vmware.vapi.std.security.user_pass","userName":"a:b","password":[]}}',
    '{"securityCtx":{"schemeId":"com.vmware.vapi.std.security.saml_hok_token","signature":{}}}',
    '{"__proto__":{"securityCtx":1}}',
  ])("is ignored when every caller is anonymous: %.90s", async (context) => {
    const { status, text: answer } = await postOverHttp1(app.url)(withContext(context));
    expect(status).toBe(200);
    expect(JSON.parse(answer).result).toHaveProperty("output");
  });
});

test("other methods and paths are not JSON-RPC", async () => {
  for (const [method, path] of [
    ["GET", "/api"],
    ["PUT", "/api"],
    ["POST", "/api/"],
    ["POST", "/rest/api"],
  ] as const) {
    const response = await fetch(app.url + path, { method });
    expect(response.status).toBe(404);
    expect(await response.text()).toContain("NOT_FOUND");
  }
});

test("clients that go away in the middle of a request do not stop others", async () => {
  for (let index = 0; index < 20; index++) {
    const stuck = request(`${app.url}/api`, { method: "POST", headers: { "content-length": "10" } });
    stuck.on("error", () => {});
    stuck.write("{", () => stuck.destroy());
  }
  await eventually("an answer", async () => (await postOverHttp1(app.url)(text('"id":1,'))).status === 200);
});
