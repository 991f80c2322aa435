import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type OperationRow, operationRows, services } from "../../docs/operations.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { type ErrorKind, errorKinds, httpStatusOf } from "../../src/domain/errors.ts";
import { templateOf } from "../../src/protocols/vapi/operation-options.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { surprisesIn } from "../support/openapi.ts";
import { callsOf, type HttpCall, hasMembers, type OperationInput } from "../support/operation-calls.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { newIssuer, settingsFor } from "../support/tokens.ts";

let app: TestApp;
let directory: TempDir;
/** Credentials of callers with every role and with none. */
let [keeper, visitor]: Record<string, string>[] = [];
beforeAll(async () => {
  const issuer = await newIssuer();
  directory = await tempDir();
  const tokens = await settingsFor(issuer, directory.path);
  app = await startTestApp({
    settings: { ...tokens, maxSessionsPerPrincipal: String(maxSessions) },
  });
  keeper = { authorization: `Bearer ${await issuer.token({ roles: ["admin", "storage"] })}` };
  visitor = { authorization: `Bearer ${await issuer.token()}` };
});
afterAll(async () => {
  await app.stop();
  await directory.remove();
});
afterEach(async () => {
  const { text } = await send({ method: "GET", path: sessions, headers: {} });
  for (const id of JSON.parse(text)) {
    await send({ method: "DELETE", path: `${sessions}/${id}`, headers: {} });
  }
});

/** More than a case needs. */
const maxSessions = 8;

/** What an operation needs in order to succeed; created for each call. */
interface Fixture {
  readonly input: OperationInput;
  readonly headers?: HttpCall["headers"];
  /** Credentials of a caller without the role that the operation needs. */
  readonly strangerHeaders?: HttpCall["headers"];
  /** Ends the state that the operation is allowed in. */
  readonly spend?: () => Promise<void>;
}

const loginService = "com.vmware.cis.session";

/** By service and operation. An operation without one fails. */
const fixtures: Record<string, Record<string, (row: OperationRow) => Promise<Fixture>>> = {
  "com.vmware.content.library.item.download_session": {
    create: async () => ({
      input: {
        client_token: crypto.randomUUID(),
        create_spec: { library_item_id: await app.addItem(), client_progress: 5 },
      },
    }),
    get: () => ofSession(),
    list: async () => ({ input: { library_item_id: await app.addItem() } }),
    keep_alive: () => ofSession({ progress: 10 }),
    cancel: () => ofSession(),
    fail: () => ofSession({ client_error_message: "disk full" }),
    delete: () => ofSession(),
  },
  "com.vmware.content.library.item.downloadsession.file": {
    list: () => ofSession(),
    prepare: () => ofSession({ file_name: "disk.bin" }),
    get: () => ofSession({ file_name: "disk.bin" }),
  },
  "com.vmware.cis.session": {
    create: async () => ({ input: {} }),
    get: () => ofLogin(),
    delete: () => ofLogin(),
  },
  "com.vmware.content.library": {
    list: async () => ({ input: {} }),
    get: async () => ({ input: { library_id: await libraryId() } }),
    find: async () => ({ input: { spec: { name: "lib" } } }),
  },
  "com.vmware.content.library.item": {
    list: async () => ({ input: { library_id: await libraryId() } }),
    get: async () => ({ input: { library_item_id: await app.addItem() } }),
    find: async () => ({ input: { spec: { library_id: await libraryId(), name: "none" } } }),
  },
  "com.vmware.content.library.item.file": {
    list: async () => ({ input: { library_item_id: await app.addItem() } }),
    get: async () => ({ input: { library_item_id: await app.addItem(), name: "disk.bin" } }),
  },
  "com.vmware.content.configuration": {
    get: async () => ({ input: {} }),
    update: async () => ({
      input: { model: { transfer_throttling_bandwidth_total: 0 } },
      strangerHeaders: visitor!,
    }),
  },
  "com.vmware.content.library.item.storage": {
    list: async () => ({ input: { library_item_id: await app.addItem() }, strangerHeaders: visitor! }),
    get: async () => ({
      input: { library_item_id: await app.addItem(), file_name: "disk.bin" },
      strangerHeaders: visitor!,
    }),
  },
  "com.vmware.content.local_library": {
    list: async () => ({ input: {} }),
    get: async () => ({ input: { library_id: await libraryId() } }),
  },
  "com.vmware.content.subscribed_library": {
    list: async () => ({ input: {} }),
    get: async () => ({ input: { library_id: await libraryId() } }),
  },
  "com.vmware.content.library.subscriptions": {
    list: async () => ({ input: { library: await libraryId() } }),
  },
  "com.vmware.content.library.item.update_session": {
    list: async () => ({ input: { library_item_id: await app.addItem() } }),
    get: async () => ({ input: { update_session_id: "none" } }),
  },
  "com.vmware.content.type": { list: async () => ({ input: {} }) },
  "com.vmware.content.security_policies": { list: async () => ({ input: {} }) },
  "com.vmware.content.trusted_certificates": { list: async () => ({ input: {} }) },
  "downlease.admin": {
    list_logins: async () => ({ input: { page_size: 5 }, strangerHeaders: visitor! }),
    end_logins: async () => ({ input: { principal: "nobody" }, strangerHeaders: visitor! }),
    list_users: async () => ({ input: {}, strangerHeaders: visitor! }),
    list_audit_entries: async () => ({ input: { principal: "nobody" }, strangerHeaders: visitor! }),
    get_overview: async () => ({ input: {}, strangerHeaders: visitor! }),
    get_history: async () => ({ input: {}, strangerHeaders: visitor! }),
    get_settings: async () => ({ input: {}, strangerHeaders: visitor! }),
    update_settings: async () => ({ input: { values: { max_calls: 1000 } }, strangerHeaders: visitor! }),
    list_sessions: async () => ({
      input: { library_item_id: "any", page_size: 5 },
      strangerHeaders: visitor!,
    }),
    end_sessions: async ({ protocol }) => ({
      input: { ids: ["any"], ending: protocol === "RPC" ? "ENDING_CANCEL" : "CANCEL" },
      strangerHeaders: visitor!,
    }),
  },
  "com.vmware.vapi.std.introspection.provider": { get: async () => ({ input: {} }) },
  "com.vmware.vapi.std.introspection.service": {
    list: async () => ({ input: {} }),
    get: async () => ({ input: { id: loginService } }),
  },
  "com.vmware.vapi.std.introspection.operation": ofOperations(),
  ...Object.fromEntries(
    Object.entries({
      component: "com.vmware.downlease",
      package: "com.vmware.cis",
      service: loginService,
      structure: `${loginService}.info`,
      enumeration: "com.vmware.content.library.item.download_session_model.state",
    }).map(([kind, id]) => {
      const named = async () => ({ input: { [`${kind}_id`]: id } });
      const rows = { list: async () => ({ input: {} }), get: named, fingerprint: named };
      return [`com.vmware.vapi.metadata.metamodel.${kind}`, rows];
    }),
  ),
  "com.vmware.vapi.metadata.authentication.service.operation": ofOperations(),
  "com.vmware.vapi.metadata.metamodel.service.operation": ofOperations(),
};

/** Operations that find nothing, because there is nothing of the kind. */
const neverSucceeds = new Set([
  "com.vmware.content.subscribed_library get",
  "com.vmware.content.library.item.update_session get",
]);

/** Operations about operations. */
function ofOperations(): Record<string, () => Promise<Fixture>> {
  return {
    list: async () => ({ input: { service_id: loginService } }),
    get: async () => ({ input: { service_id: loginService, operation_id: "get" } }),
  };
}

async function ofLogin(): Promise<Fixture> {
  const { text } = await send({ method: "POST", path: "/api/session", headers: {} });
  return { input: {}, headers: { "vmware-api-session-id": JSON.parse(text) } };
}

async function libraryId(): Promise<string> {
  const { text } = await send({ method: "GET", path: "/api/content/library", headers: {} });
  return JSON.parse(text)[0];
}

const sessions = "/api/content/library/item/download-session";

async function ofSession(more: OperationInput = {}): Promise<Fixture> {
  const created = await send({
    method: "POST",
    path: sessions,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ library_item_id: await app.addItem() }),
  });
  // The last one that is allowed may be there already.
  const id: string = created.status === 201 ? JSON.parse(created.text) : "";
  const spend = async () => {
    const { status } = await send({ method: "POST", path: `${sessions}/${id}?action=cancel`, headers: {} });
    expect(status).toBe(204);
  };
  return { input: { download_session_id: id, ...more }, spend };
}

/** Turns a fixture into a request that must get the error; undefined when this operation cannot raise it. */
const provocations: Partial<Record<ErrorKind, (row: OperationRow, fixture: Fixture) => unknown>> = {
  not_found: (_, { input }) => withIds(input, "nobody"),
  invalid_argument: (row, { input }) =>
    withWrongType(row, input) ?? withIds(input, "x".repeat(257)) ?? withPageSize(input, 0),
  not_allowed_in_current_state: async (_, { input, spend }) => {
    if (spend === undefined) return undefined;
    await spend();
    return input;
  },
  // No version of these settings.
  concurrent_change: (_, { input }) => ({ ...input, version: 1_000_000 }),
  unable_to_allocate_resource: async (_, { input }) => {
    for (let n = 0; n < maxSessions; n++) await ofSession();
    return input;
  },
  unauthorized({ protocol }, { input, strangerHeaders }) {
    if (strangerHeaders !== undefined) return input;
    // The directory has no locations to give.
    return { ...input, endpoint_type: protocol === "RPC" ? "ENDPOINT_TYPE_DIRECT" : "DIRECT" };
  },
};

function withIds(input: OperationInput, id: string): OperationInput | undefined {
  let isChanged = false;
  const replaced = Object.entries(input).map(([name, value]) => {
    const isId = /(^|_)id$/.test(name) || name === "library";
    const other = hasMembers(value) ? withIds(value, id) : isId ? id : undefined;
    isChanged ||= other !== undefined;
    return [name, other ?? value];
  });
  return isChanged ? Object.fromEntries(replaced) : undefined;
}

function withPageSize(input: OperationInput, size: number): OperationInput | undefined {
  return "page_size" in input ? { ...input, page_size: size } : undefined;
}

/** The first leaf that travels in a body becomes a list. */
function withWrongType(row: OperationRow, input: OperationInput): object | undefined {
  const [good] = callsOf(row, input);
  return eachWithList(input).find((other) => callsOf(row, other as OperationInput)[0]!.body !== good!.body);
}

/** The input once for each of its leaves, with a list in the place of that, or with a number in the place of a list. */
function eachWithList(input: OperationInput): object[] {
  return Object.entries(input).flatMap(([name, value]) => {
    const others = hasMembers(value) ? eachWithList(value) : Array.isArray(value) ? [5] : [[]];
    return others.map((other) => ({ ...input, [name]: other }));
  });
}

async function send({ method, path, headers, body }: HttpCall) {
  const response = await fetch(app.url + path, {
    method,
    headers: { ...keeper, ...headers },
    ...(body !== undefined && { body }),
  });
  const type = response.headers.get("content-type");
  return { status: response.status, type, text: await response.text() };
}

function fixtureOf(row: OperationRow): Promise<Fixture> {
  const { options } = row;
  const make = fixtures[options.serviceId]?.[options.operationId];
  if (make === undefined) throw new Error(`${options.serviceId} ${options.operationId} has no fixture`);
  return make(row);
}

/** A request for each place that the row names. */
async function answers(
  row: OperationRow,
  prepare: (fixture: Fixture) => unknown,
  headersOf: (fixture: Fixture) => HttpCall["headers"] | undefined = ({ headers }) => headers,
) {
  const answered: Awaited<ReturnType<typeof send>>[] = [];
  const places = callsOf(row, {}).length;
  for (let place = 0; place < places; place++) {
    const fixture = await fixtureOf(row);
    const input = await prepare(fixture);
    if (input === undefined) throw new Error("there is no way to provoke the error: the fixture needs one");
    const call = callsOf(row, input as OperationInput)[place]!;
    answered.push(await send({ ...call, headers: { ...call.headers, ...headersOf(fixture) } }));
  }
  return answered;
}

function expectSuccess(row: OperationRow, { status, type, text }: Awaited<ReturnType<typeof send>>): void {
  const isVoid = row.options.result === undefined;
  if (row.protocol === "REST") {
    expect([status, type]).toEqual([row.route.status, isVoid ? null : "application/json"]);
    if (row.dialect.routes === "api") expect(surprisesIn(row, { status, type, text })).toBe("");
    if (isVoid) expect(text).toBe("");
    else if (row.dialect.routes === "rest") expect(Object.keys(JSON.parse(text))).toEqual(["value"]);
    else expect(JSON.parse(text)).not.toHaveProperty("value");
    return;
  }
  expect([status, type]).toEqual([200, "application/json"]);
  if (row.protocol === "JSON-RPC") expect(JSON.parse(text).result).toHaveProperty("output");
}

function expectError(row: OperationRow, kind: ErrorKind, answer: Awaited<ReturnType<typeof send>>): void {
  const { status, type, text } = answer;
  const { vapi, grpc } = errorKinds[kind];
  const body = JSON.parse(text);
  expect(type).toBe("application/json");
  if (row.protocol === "RPC") {
    expect(body.code).toBe(grpc.toLowerCase());
    return;
  }
  if (row.protocol === "JSON-RPC") {
    expect([status, Object.keys(body.result.error.ERROR)]).toEqual([
      200,
      [`com.vmware.vapi.std.errors.${vapi}`],
    ]);
    return;
  }
  expect(status).toBe(httpStatusOf(kind, row.dialect.routes));
  if (row.dialect.routes === "api") expect(surprisesIn(row, answer)).toBe("");
  const structure = row.dialect.routes === "rest" ? body.value : body;
  expect(structure).toMatchObject({
    error_type: vapi.toUpperCase(),
    messages: [{ id: expect.stringMatching(/^downlease\./), args: expect.any(Array) }],
  });
  if (row.dialect.routes === "rest") expect(body.type).toBe(`com.vmware.vapi.std.errors.${vapi}`);
}

function titleOf(row: OperationRow): string {
  const { operationId } = row.options;
  if (row.protocol !== "REST") return `${operationId} by ${row.protocol}`;
  const { route, dialect } = row;
  return `${operationId} by ${route.method} ${dialect.prefixes.at(-1)}${templateOf(route)} ${route.action}`;
}

const rows = operationRows().map((row) => [titleOf(row), row] as const);

test("the table lists exactly the services that are served", async () => {
  const authorize: Interceptor = (next) => (request) => {
    for (const [name, value] of Object.entries(keeper!)) request.header.set(name, value);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl: app.url, interceptors: [authorize] });
  const reflection = createClient(ServerReflection, transport);
  async function* question() {
    yield { messageRequest: { case: "listServices" as const, value: "" } };
  }
  const served: string[] = [];
  for await (const { messageResponse } of reflection.serverReflectionInfo(question())) {
    if (messageResponse.case !== "listServicesResponse") throw new Error("the services are not listed");
    served.push(...messageResponse.value.service.map(({ name }) => name));
  }
  expect(services.map(({ typeName }) => typeName).sort()).toEqual(
    served.filter((name) => !name.startsWith("grpc.")).sort(),
  );
});

describe.each(rows)("%s", (_, row) => {
  test("answers as the table says", async () => {
    const isNothing = neverSucceeds.has(`${row.options.serviceId} ${row.options.operationId}`);
    for (const answer of await answers(row, ({ input }) => input)) {
      if (isNothing) expectError(row, "not_found", answer);
      else expectSuccess(row, answer);
    }
  });

  for (const kind of row.options.errors) {
    test(`answers ${kind} as the table says`, async () => {
      const provoke = provocations[kind];
      if (provoke === undefined) throw new Error(`nothing provokes ${kind}`);
      const headersOf = ({ headers, strangerHeaders }: Fixture) =>
        kind === "unauthorized" ? strangerHeaders : headers;
      for (const answer of await answers(row, (fixture) => provoke(row, fixture), headersOf)) {
        expectError(row, kind, answer);
      }
    });
  }
});
