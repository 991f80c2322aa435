import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttp1Server } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { type Client, credentials, type GrpcObject, loadPackageDefinition, Metadata } from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import type { ContentSource } from "../../src/domain/content-source.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import type { Caller, Session } from "../../src/domain/session.ts";
import type { CallObserver, CallRecord } from "../../src/operations/call.ts";
import { Corridor } from "../../src/operations/corridor.ts";
import { downloadSessionOperations } from "../../src/operations/download-session.ts";
import type { HttpHandler } from "../../src/operations/http.ts";
import { rpcHandler } from "../../src/rpc/handler.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { Health } from "../../src/telemetry/health.ts";

export const itemId = "item-1";
export const maxBodyBytes = 4096;
export const serviceName = DownloadSessionService.typeName;

/** The RPC door on its own, over both HTTP versions and with sessions in memory. */
export interface RpcDoor extends AsyncDisposable {
  readonly http1Url: string;
  readonly http2Url: string;
  readonly health: Health;
  /** What the corridor told of finished calls. */
  readonly records: CallRecord[];
  /** Aborts the calls under way. */
  readonly shutdown: AbortController;
  /** How many calls for the session `stalled`, which never end by themselves, have reached the store. */
  stalledCalls(): number;
}

/** Reads of some ids go wrong in ways that a real store can't be made to. */
class FaultyStore extends SqliteSessionStore {
  stalledCalls = 0;

  override async get(id: string, caller: Caller): Promise<Session | undefined> {
    switch (id) {
      case "stalled":
        this.stalledCalls++;
        return new Promise(() => {});
      case "unavailable":
        throw new ServiceError("downlease.store.unavailable");
      case "broken":
        throw new Error("the driver's own words");
      default:
        return super.get(id, caller);
    }
  }
}

const content = {
  item: async (id: string) =>
    id === itemId ? { id, libraryId: "library-1", name: "Item", contentVersion: "7", size: 0 } : undefined,
} as Partial<ContentSource> as ContentSource;

export async function openRpcDoor(): Promise<RpcDoor> {
  const store = new FaultyStore({ path: ":memory:", terms: { leaseMs: 60_000, retentionMs: 60_000 } });
  const records: CallRecord[] = [];
  // The call itself reads lazily from what is gone after the call.
  const observe: CallObserver = ({ call: { door, requestId, peer }, ...record }) =>
    void records.push({ ...record, call: { door, requestId, peer } });
  const corridor = new Corridor(
    downloadSessionOperations(store, content),
    () => ({ principal: "anonymous", admin: false }),
    observe,
  );
  const health = new Health([serviceName]);
  health.set("SERVING");
  const shutdown = new AbortController();
  const fallback: HttpHandler = (_, response) => {
    response.writeHead(404, { "content-type": "text/plain" });
    response.end("fallback");
  };
  const { signal } = shutdown;
  const handler = rpcHandler({
    corridor,
    health,
    maxBodyBytes,
    shutdownSignal: signal,
    streamsSignal: signal,
    observe,
    fallback,
  });

  const http1 = createHttp1Server(handler).listen(0, "127.0.0.1");
  const http2 = createHttp2Server(handler).listen(0, "127.0.0.1");
  const sessions = new Set<ServerHttp2Session>();
  http2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  await Promise.all([once(http1, "listening"), once(http2, "listening")]);
  const urlOf = (server: typeof http1 | typeof http2) =>
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    http1Url: urlOf(http1),
    http2Url: urlOf(http2),
    health,
    records,
    shutdown,
    stalledCalls: () => store.stalledCalls,
    async [Symbol.asyncDispose]() {
      http1.close();
      http1.closeAllConnections();
      http2.close();
      for (const session of sessions) session.destroy();
      await store.close();
    },
  };
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The interface as grpc-js sees it; fields have their proto names, int64 are texts, enums are names. */
export function loadInterface(): GrpcObject {
  // protobufjs does not understand lists of messages in option values, so buf reads the proto files for it.
  const descriptors = execFileSync(
    "node_modules/.bin/buf",
    ["build", "--as-file-descriptor-set", "-o", "-"],
    {
      cwd: root,
    },
  );
  return grpcObjectOf(descriptors);
}

/** @param descriptors a serialised google.protobuf.FileDescriptorSet */
export function grpcObjectOf(descriptors: Buffer): GrpcObject {
  return loadPackageDefinition(
    loadFileDescriptorSetFromBuffer(descriptors, { keepCase: true, longs: String, enums: String }),
  );
}

// biome-ignore lint/suspicious/noExplicitAny: grpc-js adds a service's methods at run time
export type GrpcJsClient = Client & Record<string, any>;

export function grpcJsClient(grpcObject: GrpcObject, service: string, url: string): GrpcJsClient {
  let scope: unknown = grpcObject;
  for (const name of service.split(".")) scope = (scope as Record<string, unknown>)[name];
  const Constructor = scope as new (...args: unknown[]) => GrpcJsClient;
  return new Constructor(new URL(url).host, credentials.createInsecure());
}

export interface GrpcJsOutcome {
  readonly reply?: Record<string, unknown>;
  readonly code: number;
  readonly details: string;
  readonly headers: Metadata;
  readonly trailers: Metadata;
}

/** A unary call through grpc-js with everything that came back; resolves whatever the status is. */
export function grpcJsCall(
  client: GrpcJsClient,
  method: string,
  request: object,
  {
    headers = {},
    deadline = Date.now() + 10_000,
  }: { headers?: Record<string, string>; deadline?: number } = {},
): Promise<GrpcJsOutcome> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise((resolve) => {
    let reply: Record<string, unknown> | undefined;
    let received = new Metadata();
    const call = client[method](request, metadata, { deadline }, (_: unknown, value: typeof reply) => {
      reply = value;
    });
    call.on("metadata", (value: Metadata) => {
      received = value;
    });
    call.on(
      "status",
      ({ code, details, metadata: trailers }: Omit<GrpcJsOutcome, "trailers"> & { metadata: Metadata }) => {
        // The callback comes right after this event.
        setImmediate(() =>
          resolve({ code, details, headers: received, trailers, ...(reply !== undefined && { reply }) }),
        );
      },
    );
  });
}
