import { fromBinary, fromJson, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { AnySchema, anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { grpcJsCall, grpcJsClient, loadInterface } from "./grpc-js.ts";
import { serviceName } from "./rpc-service.ts";

interface ErrorInfo {
  readonly reason?: string;
  readonly domain?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Outcome of a call in one form for every protocol: field names and texts as in proto JSON. */
export type Outcome = Result & { readonly requestId: string | null };
type Result =
  | { readonly ok: JsonObject }
  | {
      readonly code: string;
      readonly message: string;
      readonly info?: ErrorInfo | undefined;
    };

/** Calls a method with its proto JSON request. */
export type Call = (method: string, request: JsonObject, requestId?: string) => Promise<Outcome>;

const connectNames = Object.fromEntries(
  Object.entries(Code)
    .filter(([, value]) => typeof value === "number")
    .map(([name, value]) => [value, name.replace(/(?<=.)([A-Z])/g, "_$1").toLowerCase()]),
);

/** @param transportOf called at the first call, when the service listens */
export function throughConnectEs(transportOf: () => Transport): Call {
  let client: Record<string, (request: unknown, options: object) => Promise<never>> | undefined;
  return async (name, request, requestId) => {
    client ??= createClient(DownloadSessionService, transportOf()) as unknown as NonNullable<typeof client>;
    const method = DownloadSessionService.methods.find((each) => each.name === name)!;
    let header = new Headers();
    const options = {
      headers: requestId === undefined ? {} : { "x-request-id": requestId },
      onHeader: (value: Headers) => {
        header = value;
      },
    };
    try {
      const reply = await client[method.localName]!(fromJson(method.input, request), options);
      const ok = toJson(method.output, reply) as JsonObject;
      return { ok, requestId: header.get("x-request-id") };
    } catch (reason) {
      const error = ConnectError.from(reason);
      const [info] = error.findDetails(ErrorInfoSchema);
      return {
        code: connectNames[error.code]!,
        message: error.rawMessage,
        info: info && (toJson(ErrorInfoSchema, info) as object),
        requestId: header.get("x-request-id") ?? error.metadata.get("x-request-id"),
      };
    }
  };
}

export function throughGrpcJs(urlOf: () => string): Call {
  const grpcInterface = loadInterface();
  return async (name, request, requestId) => {
    const client = grpcJsClient(grpcInterface, serviceName, urlOf());
    const headers = requestId === undefined ? {} : { "x-request-id": requestId };
    const outcome = await grpcJsCall(client, name, snakeCased(request), { headers });
    client.close();
    // A failure may come in one block of headers, which grpc-js calls trailers.
    const received = [...outcome.headers.get("x-request-id"), ...outcome.trailers.get("x-request-id")];
    const answeredId = String(received[0]);
    if (outcome.reply !== undefined) return { ok: camelCased(outcome.reply), requestId: answeredId };
    const [status] = outcome.trailers.get("grpc-status-details-bin");
    return {
      code: connectNames[outcome.code]!,
      message: outcome.details,
      info: status instanceof Buffer ? errorInfoIn(status) : undefined,
      requestId: answeredId,
    };
  };
}

interface ConnectJsonError {
  readonly code: string;
  readonly message: string;
  readonly details?: readonly [{ readonly debug: ErrorInfo }];
}

/** Connect JSON without a library. */
export function throughFetch(urlOf: () => string): Call {
  return async (name, request, requestId) => {
    const response = await fetch(`${urlOf()}/${serviceName}/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(requestId && { "x-request-id": requestId }) },
      body: JSON.stringify(request),
    });
    const answeredId = response.headers.get("x-request-id");
    if (response.ok) return { ok: (await response.json()) as JsonObject, requestId: answeredId };
    const { code, message, details } = (await response.json()) as ConnectJsonError;
    return { code, message, info: details?.[0].debug, requestId: answeredId };
  };
}

/** The first detail of a google.rpc.Status, which has no schema here: field 3 is `repeated Any details`. */
function errorInfoIn(status: Uint8Array) {
  const reader = new BinaryReader(status);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 3) {
      const info = anyUnpack(fromBinary(AnySchema, reader.bytes()), ErrorInfoSchema)!;
      return toJson(ErrorInfoSchema, info) as object;
    }
    reader.skip(wireType, field);
  }
  return undefined;
}

function mapKeys(value: JsonValue, rename: (key: string) => string): JsonValue {
  if (Array.isArray(value)) return value.map((each) => mapKeys(each, rename));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [rename(key), mapKeys(each, rename)]));
}
const snakeCased = (value: JsonObject) =>
  mapKeys(value, (key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)) as JsonObject;
const camelCased = (value: object) =>
  mapKeys(value as JsonObject, (key) =>
    key.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()),
  ) as JsonObject;
