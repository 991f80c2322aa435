import { create, createRegistry, type MessageInitShape } from "@bufbuild/protobuf";
import { anyUnpack, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type Client,
  Code,
  ConnectError,
  createClient,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import {
  DownloadSessionModel_State,
  DownloadSessionService,
  type KeepAliveRequestSchema,
  type KeepAliveResult,
  KeepAliveStreamRequestSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { type ErrorInfo, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { decodeXml } from "../../src/protocols/vapi/codecs/xml.ts";
import { apiClient, overHttp1, overHttp2 } from "./api-client.ts";
import { postOverHttp1, postOverHttp2 } from "./json-rpc.ts";
import { jsonRpcClient } from "./json-rpc-client.ts";
import { type ProtocolClient, Refused, seenSession, type WrittenSession } from "./protocol-client.ts";

export { type ProtocolClient, Refused } from "./protocol-client.ts";

/** Headers, or metadata, of each call. */
export type Headers = Readonly<Record<string, string>>;
type OpenClient = (baseUrl: string, headers?: Headers) => ProtocolClient;

/** Adds the headers to each call. */
const withHeaders =
  (headers: Headers = {}): Interceptor =>
  (next) =>
  (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return next(request);
  };

const grpc = (baseUrl: string, headers?: Headers) =>
  createGrpcTransport({ baseUrl, interceptors: [withHeaders(headers)] });
const grpcWeb = (httpVersion: "1.1" | "2") => (baseUrl: string, headers?: Headers) =>
  createGrpcWebTransport({ baseUrl, httpVersion, interceptors: [withHeaders(headers)] });
const connect =
  (httpVersion: "1.1" | "2", useBinaryFormat: boolean) => (baseUrl: string, headers?: Headers) =>
    createConnectTransport({
      ...{ baseUrl, httpVersion, useBinaryFormat, jsonOptions },
      interceptors: [withHeaders(headers)],
    });
const rpc =
  (transport: (baseUrl: string, headers?: Headers) => Transport, keepAlive = unaryKeepAlive): OpenClient =>
  (baseUrl, headers) =>
    rpcClient(transport(baseUrl, headers), keepAlive);

const rest =
  (prefix: string, representation: Representation, idIn: "path" | "body" | "query"): OpenClient =>
  (baseUrl, headers) =>
    restClient(baseUrl + prefix, representation, idIn, headers);

type RpcClient = Client<typeof DownloadSessionService>;
type RpcKeepAlive = (
  client: RpcClient,
  request: MessageInitShape<typeof KeepAliveRequestSchema>,
) => Promise<void>;

const unaryKeepAlive: RpcKeepAlive = async (client, request) => {
  await rethrowingRefusals(client.keepAlive(request));
};

const batchedKeepAlive: RpcKeepAlive = async (client, request) => {
  const { results } = await rethrowingRefusals(client.batchKeepAlive({ keepAlives: [request] }));
  throwIfRefused(results[0]!);
};

const streamedKeepAlive: RpcKeepAlive = async (client, { downloadSessionId, progress }) => {
  async function* requests() {
    yield create(KeepAliveStreamRequestSchema, {
      ...(downloadSessionId !== undefined && { downloadSessionId }),
      ...(progress !== undefined && { progress }),
    });
  }
  const results: KeepAliveResult[] = [];
  const stream = client.keepAliveStream(requests());
  await rethrowingRefusals(
    (async () => {
      for await (const { result } of stream) results.push(result!);
    })(),
  );
  throwIfRefused(results[0]!);
};

/** Clients need the types of error details, too. */
const jsonOptions = { registry: createRegistry(ErrorInfoSchema) };

function throwIfRefused({ error }: KeepAliveResult): void {
  if (error === undefined) return;
  const info = anyUnpack(error.details[0]!, ErrorInfoSchema);
  throw refusedWith(error.code, info, error.message);
}

function refusedWith(code: Code, info: ErrorInfo | undefined, message: string): Refused {
  return new Refused(Code[code], info?.reason ?? "", info?.metadata.message_id ?? "", message);
}

function rpcClient(transport: Transport, keepAlive = unaryKeepAlive): ProtocolClient {
  const client: RpcClient = createClient(DownloadSessionService, transport);
  return {
    create: (libraryItemId, clientToken) =>
      rethrowingRefusals(
        client.create({
          createSpec: { ...(libraryItemId !== undefined && { libraryItemId }) },
          ...(clientToken !== undefined && { clientToken }),
        }),
      ).then(({ downloadSessionId }) => downloadSessionId),
    async get(downloadSessionId) {
      const { downloadSession: session } = await rethrowingRefusals(client.get({ downloadSessionId }));
      return {
        id: session!.id!,
        library_item_id: session!.libraryItemId!,
        library_item_content_version: session!.libraryItemContentVersion!,
        client_progress: Number(session!.clientProgress),
        state: stateName(session!.state!),
        expiration_time: timestampMs(session!.expirationTime!),
        error_message: session!.errorMessage?.defaultMessage,
      };
    },
    list: (libraryItemId) =>
      rethrowingRefusals(client.list({ ...(libraryItemId !== undefined && { libraryItemId }) })).then(
        ({ downloadSessionIds }) => downloadSessionIds,
      ),
    async keepAlive(downloadSessionId, progress) {
      await keepAlive(client, {
        downloadSessionId,
        ...(progress !== undefined && { progress: BigInt(progress) }),
      });
    },
    async cancel(downloadSessionId) {
      await rethrowingRefusals(client.cancel({ downloadSessionId }));
    },
    async fail(downloadSessionId, clientErrorMessage) {
      await rethrowingRefusals(client.fail({ downloadSessionId, clientErrorMessage }));
    },
    async delete(downloadSessionId) {
      await rethrowingRefusals(client.delete({ downloadSessionId }));
    },
  };
}

function stateName(state: DownloadSessionModel_State): string {
  return Object.entries(DownloadSessionModel_State).find(([, number]) => number === state)![0];
}

async function rethrowingRefusals<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const [info] = error.findDetails(ErrorInfoSchema);
    throw refusedWith(error.code, info, error.rawMessage);
  }
}

type Parameters = Record<string, string | number | undefined>;
interface Representation {
  readonly contentType: string;
  readonly accept: string;
  write(operation: string, parameters: Parameters): string;
  /** The members of a response. */
  read(text: string): Record<string, unknown>;
}

const jsonBody: Representation = {
  contentType: "application/json",
  accept: "application/json",
  write(operation, { "create_spec.library_item_id": item, ...others }) {
    return JSON.stringify(
      operation === "Create" ? { ...others, create_spec: { library_item_id: item } } : others,
    );
  },
  read: (text) => JSON.parse(text),
};

const formBody: Representation = {
  contentType: "application/x-www-form-urlencoded",
  accept: "application/json",
  write: (_, parameters) =>
    Object.entries(parameters)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `&${name}=${encodeURIComponent(value!)}`)
      .join(""),
  read: (text) => JSON.parse(text),
};

const namespace = "http://vmware.com/content/library/item/download_session";
const xmlBody: Representation = {
  contentType: "application/xml",
  accept: "application/xml",
  write(operation, parameters) {
    const members = Object.entries(parameters)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) =>
        name
          .split(".")
          .reduceRight((inner, element) => `<${element}>${inner}</${element}>`, escapeXml(String(value))),
      );
    return `<?xml version="1.0"?><ns0:${operation}-Input xmlns:ns0="${namespace}">${members.join("")}</ns0:${operation}-Input>`;
  },
  read(text) {
    const [, name, uri] = /<ns0:([\w-]+) xmlns:ns0="([^"]+)"/.exec(text)!;
    return { ...decodeXml(Buffer.from(text), { name: name!, namespace: uri! }) };
  },
};

function escapeXml(text: string): string {
  return text.replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`);
}

function restClient(
  baseUrl: string,
  representation: Representation,
  idIn: "path" | "body" | "query",
  credentials: Headers = {},
): ProtocolClient {
  const service = `${baseUrl}/com/vmware/content/library/item/download-session`;

  async function call(operation: string, id: string | undefined, parameters: Parameters): Promise<unknown> {
    const action = operation.replace(/_/g, "-");
    const name = operation.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
    const inPath = idIn === "path" && id !== undefined;
    const rest = inPath || id === undefined ? parameters : { download_session_id: id, ...parameters };
    const url = `${service}${inPath ? `/id:${encodeURIComponent(id)}` : ""}?~action=${action}`;
    const body = representation.write(name, rest);
    const response =
      idIn === "query"
        ? await fetch(url + body, { method: "POST", headers: credentials })
        : await fetch(url, {
            method: "POST",
            headers: {
              ...credentials,
              "content-type": representation.contentType,
              accept: representation.accept,
            },
            body,
          });
    const text = await response.text();
    if (response.ok) return text === "" ? undefined : representation.read(text).value;
    const { type, value } = representation.read(text) as {
      type: string;
      value: { error_type: string; messages: { id: string; default_message: string }[] };
    };
    if (type !== `com.vmware.vapi.std.errors.${value.error_type.toLowerCase()}`)
      throw new Error(`odd error ${text}`);
    const [message] = value.messages;
    throw new Refused(String(response.status), value.error_type, message!.id, message!.default_message);
  }

  return {
    create: async (itemId, token) =>
      String(await call("create", undefined, { "create_spec.library_item_id": itemId, client_token: token })),
    get: async (id) => seenSession((await call("get", id, {})) as WrittenSession),
    list: async (itemId) => (await call("list", undefined, { library_item_id: itemId })) as string[],
    keepAlive: async (id, progress) => void (await call("keep_alive", id, { progress })),
    cancel: async (id) => void (await call("cancel", id, {})),
    fail: async (id, message) => void (await call("fail", id, { client_error_message: message })),
    delete: async (id) => void (await call("delete", id, {})),
  };
}

export const rpcClients: Record<string, OpenClient> = {
  gRPC: rpc(grpc),
  "gRPC, keep-alives in batches": rpc(grpc, batchedKeepAlive),
  "gRPC, keep-alives on streams": rpc(grpc, streamedKeepAlive),
  "gRPC-Web over HTTP/1.1": rpc(grpcWeb("1.1")),
  "gRPC-Web over HTTP/2": rpc(grpcWeb("2")),
  "Connect, protobuf": rpc(connect("2", true)),
  "Connect, JSON": rpc(connect("1.1", false)),
  "Connect, JSON, keep-alives in batches": rpc(connect("1.1", false), batchedKeepAlive),
  "Connect, JSON, keep-alives on streams": rpc(connect("2", false), streamedKeepAlive),
};

/** A client for every protocol and representation, by name. */
export const protocolClients: Record<string, OpenClient> = {
  ...rpcClients,
  "REST, JSON, id in the path": rest("", jsonBody, "path"),
  "REST, JSON, id in the body": rest("/rest", jsonBody, "body"),
  "REST, XML, id in the path": rest("/rest", xmlBody, "path"),
  "REST, XML, id in the body": rest("", xmlBody, "body"),
  "REST, form": rest("/rest", formBody, "body"),
  "REST, query string": rest("/rest", formBody, "query"),
  "/api over HTTP/1.1": (baseUrl, headers) => apiClient(baseUrl, overHttp1, headers),
  "/api over HTTP/2": (baseUrl, headers) => apiClient(baseUrl, overHttp2, headers),
  "JSON-RPC over HTTP/1.1": (baseUrl, headers) => jsonRpcClient(postOverHttp1(baseUrl), headers),
  "JSON-RPC over HTTP/2": (baseUrl, headers) => jsonRpcClient(postOverHttp2(baseUrl), headers),
};
