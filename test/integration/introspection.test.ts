import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { invocation } from "../support/json-rpc.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const introspection = "com.vmware.vapi.std.introspection";
const metamodel = "com.vmware.vapi.metadata.metamodel";
const sessions = "com.vmware.content.library.item.download_session";

let app: TestApp;
let item: string;
let users: TempDir;

beforeAll(async () => {
  users = await tempDir();
  const usersFile = join(users.path, "users");
  await writeFile(usersFile, `alice:${cheapHash("correct horse")}:\n`, { mode: 0o600 });
  app = await startTestApp({ settings: { auth: "required", usersFile } });
  item = await app.addItem();
});
afterAll(async () => {
  await app.stop();
  await users.remove();
});

async function call(
  serviceId: string,
  operationId: string,
  input: object = {},
  headers: Record<string, string> = {},
) {
  const { params, ...whole } = invocation(operationId, input);
  const response = await fetch(`${app.url}/api`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ ...whole, params: { ...params, serviceId } }),
  });
  return ((await response.json()) as { result: { output?: never; error?: object } }).result;
}

async function read<T>(serviceId: string, operationId: string, input: object = {}): Promise<T> {
  return (await call(serviceId, operationId, input)).output as T;
}

/** A definition as JSON-RPC writes it, without the wrapping. */
interface Definition {
  readonly type: string;
  readonly name?: string;
  readonly element_definition?: Definition;
  readonly fields?: Readonly<Record<string, Definition>>;
}

interface OperationInfo {
  readonly input_definition: Definition;
  readonly output_definition: Definition;
  readonly error_definitions: readonly Definition[];
}

/** Removes what JSON-RPC wraps values in. */
function unwrapped(value: unknown): unknown {
  if (Array.isArray(value)) {
    const entries = value.map(unwrapped);
    const isMap = value.length > 0 && value.every((item) => item?.STRUCTURE?.["map-entry"] !== undefined);
    if (!isMap) return entries;
    return Object.fromEntries(
      (entries as { key: string; value: unknown }[]).map((entry) => [entry.key, entry.value]),
    );
  }
  if (typeof value !== "object" || value === null) return value;
  const members = value as Record<string, unknown>;
  if ("STRUCTURE" in members) return unwrapped(Object.values(members.STRUCTURE as object)[0]);
  if ("OPTIONAL" in members) return unwrapped(members.OPTIONAL) ?? undefined;
  return Object.fromEntries(Object.entries(members).map(([name, member]) => [name, unwrapped(member)]));
}

async function infoOf(serviceId: string, operationId: string): Promise<OperationInfo> {
  const input = { service_id: serviceId, operation_id: operationId };
  return unwrapped(await read(`${introspection}.operation`, "get", input)) as OperationInfo;
}

/** What is wrong about a value of JSON-RPC by its definition; a line each. */
function flaws(
  value: unknown,
  definition: Definition,
  path: string,
  around: readonly Definition[],
): string[] {
  const members = (value ?? {}) as Record<string, unknown>;
  const { type, name = "", fields = {}, element_definition: element } = definition;
  const is = (isRight: boolean) => (isRight ? [] : [`${path} is no ${type}: ${JSON.stringify(value)}`]);
  switch (type) {
    case "VOID":
      return is(value === null);
    case "STRING":
      return is(typeof value === "string");
    case "SECRET":
      return is(typeof members.SECRET === "string");
    case "LONG":
      return is(Number.isInteger(value));
    case "BOOLEAN":
      return is(typeof value === "boolean");
    case "OPTIONAL":
      if (!("OPTIONAL" in members)) return is(false);
      return members.OPTIONAL === null ? [] : flaws(members.OPTIONAL, element!, path, around);
    case "LIST":
      if (!Array.isArray(value)) return is(false);
      return value.flatMap((one, index) => flaws(one, element!, `${path}[${index}]`, around));
    case "STRUCTURE_REF":
      return flaws(value, around.find((one) => one.name === name)!, path, around);
    case "STRUCTURE": {
      const structure = (members.STRUCTURE as Record<string, object> | undefined)?.[name];
      if (structure === undefined) return is(false);
      const names = [Object.keys(structure).sort().join(), Object.keys(fields).sort().join()];
      if (names[0] !== names[1]) return [`${path} has ${names[0]}, not ${names[1]}`];
      return Object.entries(structure).flatMap(([field, member]) =>
        flaws(member, fields[field]!, `${path}.${field}`, [...around, definition]),
      );
    }
    default:
      return [`${path} has the unexpected type ${type}`];
  }
}

test("nobody has to log in, and callers that send credentials need not send good ones", async () => {
  const listed = await read<string[]>(`${introspection}.service`, "list");
  expect(listed).toEqual(
    expect.arrayContaining([sessions, `${introspection}.operation`, `${metamodel}.package`]),
  );
  const stale = { "vmware-api-session-id": "stale" };
  expect((await call(`${introspection}.service`, "list", {}, stale)).output).toEqual(listed);
  const path = "/vapi.std.introspection.v1.ServiceIntrospectionService/List";
  const headers = { "content-type": "application/json" };
  const overConnect = await fetch(app.url + path, { method: "POST", headers, body: "{}" });
  expect(await overConnect.json()).toEqual({ serviceIds: listed });
});

test("everything else still needs a login", async () => {
  expect(await call(sessions, "list")).toHaveProperty([
    "error",
    "ERROR",
    "com.vmware.vapi.std.errors.unauthenticated",
  ]);
});

test("the checksum of the provider is the fingerprint of the component, and stays", async () => {
  const [componentId] = await read<string[]>(`${metamodel}.component`, "list");
  const fingerprint = await read(`${metamodel}.component`, "fingerprint", { component_id: componentId });
  for (let times = 0; times < 2; times++) {
    expect(unwrapped(await read(`${introspection}.provider`, "get"))).toEqual({
      id: "downlease",
      checksum: fingerprint,
    });
  }
});

test("every operation of every service has a definition", async () => {
  const definedIn = new Map<string, string[]>();
  for (const service of await read<string[]>(`${introspection}.service`, "list")) {
    const operations = await read<string[]>(`${introspection}.operation`, "list", { service_id: service });
    const info = unwrapped(await read(`${introspection}.service`, "get", { id: service }));
    expect(info).toEqual({ operations });
    definedIn.set(service, operations);
    for (const operation of operations) {
      const { input_definition: input, error_definitions: errors } = await infoOf(service, operation);
      expect(input).toMatchObject({ type: "STRUCTURE", name: "operation-input" });
      for (const error of errors)
        expect(error).toMatchObject({ type: "ERROR", fields: { messages: { type: "LIST" } } });
    }
  }
  const expected = ["cancel", "create", "delete", "fail", "get", "keep_alive", "list"];
  expect(definedIn.get(sessions)?.toSorted()).toEqual(expected);
});

test("a definition says what is optional, and which errors there are", async () => {
  const { input_definition, output_definition, error_definitions } = await infoOf(sessions, "keep_alive");
  expect(input_definition.fields).toEqual({
    download_session_id: { type: "STRING" },
    progress: { type: "OPTIONAL", element_definition: { type: "LONG" } },
  });
  expect(output_definition).toEqual({ type: "VOID" });
  const errors = ["invalid_argument", "not_allowed_in_current_state", "not_found", "unauthenticated"];
  expect(error_definitions.map(({ name }) => name)).toEqual(
    expect.arrayContaining(errors.map((name) => `com.vmware.vapi.std.errors.${name}`)),
  );
});

describe("answers are what the definitions say", () => {
  let headers: Record<string, string>;
  let sessionId: string;
  beforeAll(async () => {
    const authorization = basic("alice", "correct horse");
    const login = await fetch(`${app.url}/api/session`, { method: "POST", headers: { authorization } });
    headers = { "vmware-api-session-id": (await login.json()) as string };
    const spec = { STRUCTURE: { [`${sessions}_model`]: { library_item_id: { OPTIONAL: item } } } };
    sessionId = (await call(sessions, "create", { create_spec: spec }, headers)).output!;
  });

  test.each<[string, string, () => object]>([
    [sessions, "get", () => ({ download_session_id: sessionId })],
    [sessions, "list", () => ({})],
    [sessions, "keep_alive", () => ({ download_session_id: sessionId })],
    [
      "com.vmware.content.library.item.downloadsession.file",
      "list",
      () => ({ download_session_id: sessionId }),
    ],
    ["com.vmware.content.library.item", "get", () => ({ library_item_id: item })],
    ["com.vmware.content.library.item.file", "list", () => ({ library_item_id: item })],
    ["com.vmware.cis.session", "get", () => ({})],
    [`${introspection}.operation`, "get", () => ({ service_id: sessions, operation_id: "create" })],
    [`${metamodel}.component`, "get", () => ({ component_id: "com.vmware.downlease" })],
  ])("%s %s", async (service, operation, input) => {
    const { output_definition } = await infoOf(service, operation);
    const { output } = await call(service, operation, input(), headers);
    expect(flaws(output, output_definition, "output", [])).toEqual([]);
  });
});

test("the metamodel has every type that it refers to, in one place", async () => {
  const component = unwrapped(
    await read(`${metamodel}.component`, "get", { component_id: "com.vmware.downlease" }),
  ) as { info: { packages: Record<string, object> } };
  const text = JSON.stringify(component);
  const namesIn = async (kind: string) => read<string[]>(`${metamodel}.${kind}`, "list");
  const known = [...(await namesIn("structure")), ...(await namesIn("enumeration"))];
  expect(known.filter((id) => !/^(com\.vmware|downlease)(\.[a-z_]+)+$/.test(id))).toEqual([]);
  const references = [...text.matchAll(/"(?:resource|structure)_id":"([^"]+)"/g)].map(([, id]) => id!);
  expect(references.length).toBeGreaterThan(100);
  expect(references.filter((id) => !known.includes(id))).toEqual([]);
  const definitions = known.map((id) => text.split(`{"name":"${id}"`).length - 1);
  expect(definitions).toEqual(known.map(() => 1));
  expect(Object.keys(component.info.packages)).toEqual(await namesIn("package"));
});

test.each([
  ["com.vmware.cis.session", "create", ["user_pass", "oauth"], undefined],
  [sessions, "keep_alive", ["session_id"], "com.vmware.cis.session"],
  [`${introspection}.service`, "list", ["no_authentication"], undefined],
])("the authentication of %s %s is described", async (service_id, operation_id, schemes, manager) => {
  const service = "com.vmware.vapi.metadata.authentication.service.operation";
  expect(unwrapped(await read(service, "get", { service_id, operation_id }))).toEqual({
    schemes: schemes.map((name) => ({
      scheme_type: manager === undefined ? "SESSIONLESS" : "SESSION_AWARE",
      session_manager: manager,
      scheme: `com.vmware.vapi.std.security.${name}`,
    })),
  });
});

test.each([
  ["download_session_model.state", ["ACTIVE", "CANCELED", "ERROR"]],
  ["file.checksum_algorithm", ["SHA1", "MD5", "SHA256", "SHA512"]],
  ["downloadsession.file.endpoint_type", ["HTTPS", "DIRECT"]],
])("the enumeration %s has its values", async (id, values) => {
  const input = { enumeration_id: `com.vmware.content.library.item.${id}` };
  const info = unwrapped(await read(`${metamodel}.enumeration`, "get", input)) as {
    values: { value: string }[];
  };
  expect(info.values.map(({ value }) => value)).toEqual(values);
});

test.each([
  [`${introspection}.service`, "get", { id: "nope" }],
  [`${introspection}.operation`, "list", { service_id: "__proto__" }],
  [`${introspection}.operation`, "get", { service_id: sessions, operation_id: "constructor" }],
  [`${metamodel}.structure`, "get", { structure_id: "__proto__" }],
  [`${metamodel}.service.operation`, "get", { service_id: sessions, operation_id: "" }],
])("%s %s of %j is not_found", async (service, operation, input) => {
  const result = await call(service, operation, input);
  expect(result).toHaveProperty(["error", "ERROR", "com.vmware.vapi.std.errors.not_found"]);
});
