import {
  createRegistry,
  type DescMessage,
  type DescMethodUnary,
  fromJson,
  getOption,
  type JsonObject,
  type JsonValue,
  toJson,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { type OperationRow, operationRows } from "../../docs/operations.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { operation, service as serviceOption } from "../../gen/vapi/v1/options_pb.ts";
import { decodeXml } from "../../src/protocols/vapi/codecs/xml.ts";
import { callsOf, type OperationInput } from "./operation-calls.ts";

/**
 * Calls an operation. Resolves to the result in vAPI's names and nesting, with every leaf as text and without empty
 * lists, which XML and protobuf do not distinguish from unset ones; or to `STATUS message.id` of a refusal, with the
 * HTTP status.
 */
export type CallMethod = (
  method: DescMethodUnary,
  parameters: JsonObject,
  headers?: Readonly<Record<string, string>>,
) => Promise<JsonValue | undefined>;

export type MethodClient = (baseUrl: string) => CallMethod;

/** Clients that address operations by name. */
export const methodClients: Record<string, MethodClient> = {
  gRPC: (baseUrl) => throughRpc(createGrpcTransport({ baseUrl })),
  "gRPC-Web": (baseUrl) => throughRpc(createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })),
  "Connect, protobuf": (baseUrl) =>
    throughRpc(createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: true })),
  "Connect, JSON": (baseUrl) => {
    const jsonOptions = { registry: createRegistry(ErrorInfoSchema) };
    return throughRpc(
      createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false, jsonOptions }),
    );
  },
  "REST, JSON": (baseUrl) =>
    throughRest(baseUrl, "application/json", (parameters) => JSON.stringify(parameters)),
  "REST, XML": (baseUrl) => throughRest(`${baseUrl}/rest`, "application/xml", xmlOf),
  "REST, form": (baseUrl) => throughRest(`${baseUrl}/rest`, "application/x-www-form-urlencoded", formOf),
};

/** Clients that use the paths in the table of operations: the last row for the protocol. */
export const tableClients: Record<string, MethodClient> = {
  "/api": (baseUrl) =>
    throughTable(baseUrl, (row) => row.protocol === "REST" && row.dialect.routes === "api"),
  "/rest, documented paths": (baseUrl) =>
    throughTable(baseUrl, (row) => row.protocol === "REST" && row.dialect.routes === "rest"),
  "JSON-RPC": (baseUrl) => throughTable(baseUrl, (row) => row.protocol === "JSON-RPC"),
};

function throughRpc(transport: Transport): CallMethod {
  return async (method: DescMethodUnary<DescMessage, DescMessage>, parameters, headers) => {
    try {
      const request = fromJson(method.input, inProtoJson(parameters) as JsonObject);
      const { message } = await transport.unary(method, undefined, undefined, headers, request);
      const response = toJson(method.output, message, {
        useProtoFieldName: true,
        alwaysEmitImplicit: true,
      }) as JsonObject;
      return plain(response[getOption(method, operation).result]);
    } catch (reason) {
      if (!(reason instanceof ConnectError)) throw reason;
      const [info] = reason.findDetails(ErrorInfoSchema);
      return `${httpOf[Code[reason.code]]} ${info?.metadata.message_id}`;
    }
  };
}

const httpOf: Readonly<Record<string, number>> = {
  NotFound: 404,
  InvalidArgument: 400,
  FailedPrecondition: 400,
  Unauthenticated: 401,
  PermissionDenied: 403,
  Unavailable: 503,
};

const prefixes: readonly (readonly [field: string, prefix: string])[] = [
  ["type", "LIBRARY_TYPE"],
  ["endpoint_type", "ENDPOINT_TYPE"],
  ["ending", "ENDING"],
];
const prefix = /^(LIBRARY_TYPE|PREPARE_STATUS|CHECKSUM_ALGORITHM|AUTHENTICATION_METHOD|TYPE|STATE)_/;

/** Adds the prefixes that names of enum values have in proto JSON. */
function inProtoJson(value: JsonValue): JsonValue {
  const text = JSON.stringify(value);
  const prefixed = prefixes.reduce(
    (json, [field, before]) =>
      json.replace(
        new RegExp(`"${field}":"(LOCAL|SUBSCRIBED|HTTPS|DIRECT|CANCEL|FAIL|DELETE)"`),
        `"${field}":"${before}_$1"`,
      ),
    text,
  );
  return JSON.parse(
    prefixed.replace(/"states":\[[^\]]*\]/, (states) => states.replace(/"(?=[A-Z])/g, '"STATE_')),
  );
}

type Write = (parameters: JsonObject, root: { name: string; namespace: string }) => string;

function throughRest(baseUrl: string, contentType: string, write: Write): CallMethod {
  const isXml = contentType === "application/xml";
  return async (method, parameters, headers) => {
    const id = getOption(method.parent, serviceOption).id;
    const namespace = `http://vmware.com/${id.replace("com.vmware.", "").replaceAll(".", "/")}`;
    const action = getOption(method, operation).id;
    const response = await fetch(
      `${baseUrl}/${id.replaceAll(".", "/").replaceAll("_", "-")}?~action=${action}`,
      {
        method: "POST",
        headers: {
          ...headers,
          "content-type": contentType,
          accept: isXml ? contentType : "application/json",
        },
        body: write(parameters, { name: `${method.name}-Input`, namespace }),
      },
    );
    const text = await response.text();
    const root = response.ok
      ? { name: `${method.name}-Result`, namespace }
      : { name: "Error", namespace: "http://vmware.com/vapi/std/errors" };
    if (response.ok && text === "") return undefined;
    const { value } = isXml ? (decodeXml(Buffer.from(text), root) as JsonObject) : JSON.parse(text);
    return response.ok ? plain(value) : `${response.status} ${value.messages[0].id}`;
  };
}

function throughTable(baseUrl: string, matches: (row: OperationRow) => boolean): CallMethod {
  const rows = operationRows().filter(matches);
  return async (method, parameters, headers) => {
    const row = rows.find((candidate) => candidate.method === method);
    if (row === undefined) throw new Error(`${method} has no such row`);
    const call = callsOf(row, parameters as unknown as OperationInput).at(-1)!;
    const response = await fetch(baseUrl + call.path, {
      method: call.method,
      headers: { ...call.headers, ...headers },
      ...(call.body !== undefined && { body: call.body }),
    });
    const text = await response.text();
    if (response.ok && text === "") return undefined;
    const body = JSON.parse(text);
    if (row.protocol === "JSON-RPC") return outcomeOf(body.result);
    const value = row.protocol === "REST" && row.dialect.routes === "rest" ? body.value : body;
    return response.ok ? plain(value) : `${response.status} ${value.messages[0].id}`;
  };
}

const statusOf: Readonly<Record<string, number>> = {
  not_found: 404,
  invalid_argument: 400,
  not_allowed_in_current_state: 400,
  unauthenticated: 401,
  unauthorized: 403,
  service_unavailable: 503,
};

function outcomeOf({ output, error }: { output?: JsonValue; error?: JsonObject }): JsonValue | undefined {
  if (error === undefined) return plain(bare(output!));
  const [[name, value]] = Object.entries(error.ERROR as JsonObject) as [[string, JsonObject]];
  const [message] = bare(value.messages!) as [{ id: string }];
  return `${statusOf[name.replace("com.vmware.vapi.std.errors.", "")]} ${message.id}`;
}

/** A JSON-RPC data value without its type wrappers. */
function bare(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value !== "object" || value === null) return value;
  if ("OPTIONAL" in value) return bare(value.OPTIONAL!);
  if ("STRUCTURE" in value) return bare(Object.values(value.STRUCTURE as JsonObject)[0]!);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, bare(member)]));
}

function xmlOf(parameters: JsonObject, { name, namespace }: { name: string; namespace: string }): string {
  return `<i:${name} xmlns:i="${namespace}">${elements(parameters)}</i:${name}>`;
}

function elements(value: JsonValue): string {
  if (typeof value !== "object" || value === null) {
    return String(value).replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`);
  }
  return Object.entries(value)
    .map(([name, member]) => `<${name}>${elements(member)}</${name}>`)
    .join("");
}

function formOf(parameters: JsonObject, _root?: unknown, before = ""): string {
  return Object.entries(parameters)
    .map(([name, value]) => {
      if (typeof value !== "object") return `&${before}${name}=${encodeURIComponent(String(value))}`;
      const members = formOf(value as JsonObject, undefined, `${before}${name}.`);
      return members === "" ? `&${before}${name}=` : members;
    })
    .join("");
}

function plain(value: JsonValue | undefined): JsonValue | undefined {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map((item) => plain(item)!);
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).map(([name, member]) => [name, plain(member)] as const);
    return Object.fromEntries(members.filter(([, member]) => member !== undefined)) as JsonObject;
  }
  return value === undefined || value === null ? undefined : String(value).replace(prefix, "");
}
