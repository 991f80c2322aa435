import { once } from "node:events";
import { createServer as createHttp1Server } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { Admission } from "../../src/calls/admission.ts";
import type { CallObserver, CallRecord } from "../../src/calls/call.ts";
import type { ClientAddressOf } from "../../src/calls/client-address.ts";
import { type Authenticate, CallPipeline, type ServerStreamOperation } from "../../src/calls/pipeline.ts";
import { firstOf, type ProtocolHandler, type ServerHandlers } from "../../src/calls/protocol-handler.ts";
import { ShareHolders } from "../../src/calls/share-holders.ts";
import type { ContentSource } from "../../src/domain/content-source.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import type { Caller, Refusal, Renewal, Session } from "../../src/domain/session.ts";
import type { Heartbeat, SessionStore } from "../../src/domain/session-store.ts";
import { downloadSessionOperations } from "../../src/operations/download-session.ts";
import { rpcHandler } from "../../src/protocols/rpc/handler.ts";
import type { Patience } from "../../src/protocols/rpc/patience.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { Health } from "../../src/telemetry/health.ts";
import { callerNamed } from "./callers.ts";

export const itemId = "item-1";
export const maxBodyBytes = 4096;
export const serviceName = DownloadSessionService.typeName;

/** The RPC handlers alone, over both HTTP versions and with sessions in memory. */
export interface RpcService extends AsyncDisposable {
  readonly http1Url: string;
  readonly http2Url: string;
  readonly health: Health;
  /** Finished calls, as recorded by the pipeline. */
  readonly records: CallRecord[];
  /** Aborts the calls in flight. */
  readonly endCalls: AbortController;
  /** Ends streams after the requests that they have read are answered. */
  readonly endStreams: AbortController;
  readonly store: SessionStore;
  readonly admission: Admission;
  readonly streams: ShareHolders;
  readonly watches: ShareHolders;
  /** The handlers behind both URLs. */
  readonly rpc: ServerHandlers;
  readonly protocols: readonly ProtocolHandler[];
  /** Number of calls for the session `stalled`, which never return, that have reached the store. */
  stalledCalls(): number;
}

/** Calls for some ids fail in ways that a real store cannot be made to. */
class FaultyStore extends SqliteSessionStore {
  stalledCalls = 0;

  override async keepAlive(id: string, caller: Caller, progress?: number): Promise<Renewal | Refusal> {
    if (id === "unavailable") throw new ServiceError("downlease.store.unavailable");
    return super.keepAlive(id, caller, progress);
  }

  override async keepAliveMany(heartbeats: readonly Heartbeat[], caller: Caller) {
    for (const { id } of heartbeats) {
      if (id === "unavailable") throw new ServiceError("downlease.store.unavailable");
      if (id === "stalled") {
        this.stalledCalls++;
        return new Promise<never>(() => {});
      }
    }
    return super.keepAliveMany(heartbeats, caller);
  }

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

const textFallback: ProtocolHandler = {
  name: "fallback",
  headers: { request: [], response: [] },
  takes: () => true,
  serve(_, response) {
    response.writeHead(404, { "content-type": "text/plain" });
    response.end("fallback");
  },
};

/** The two ways that an RPC is served, for `describe.each`. */
export const lanes = [
  { lane: "on the fast lane", fastLane: true },
  { lane: "in Connect's runtime", fastLane: false },
] as const;

export interface RpcServiceOptions {
  readonly fastLane?: boolean;
  /** Maximum number of calls in flight. */
  readonly maxCalls?: number;
  /** Maximum number of open streams that renew sessions, and of those that need no credentials. */
  readonly maxStreams?: number;
  /** Largest request message, in bytes. */
  readonly maxMessageBytes?: number;
  /** With silent streams. */
  readonly patience?: Patience;
  /** By default, everybody is `anonymous`. */
  readonly authenticate?: Authenticate;
  /** For administration; `authenticate` by default. */
  readonly administrate?: Authenticate;
  /** Operations with a stream of answers besides those of download sessions, which have none. */
  readonly serverStreams?: readonly ServerStreamOperation[];
  /** Serves requests that are not RPCs; by default with a text. */
  readonly next?: (parts: {
    readonly pipeline: CallPipeline;
    readonly observe: CallObserver;
  }) => ProtocolHandler;
  /** Instead of a `FaultyStore`; closed with the service. */
  readonly store?: SessionStore;
}

export async function startRpcService({
  fastLane = true,
  maxCalls = 1000,
  maxStreams = 1000,
  maxMessageBytes = maxBodyBytes,
  patience,
  authenticate = () => callerNamed("anonymous"),
  administrate = authenticate,
  serverStreams = [],
  next = () => textFallback,
  store = new FaultyStore({
    database: new SqliteDatabase(":memory:"),
    terms: { leaseMs: 60_000, retentionMs: 60_000 },
  }),
}: RpcServiceOptions = {}): Promise<RpcService> {
  const records: CallRecord[] = [];
  // Copied, because the call reads lazily from objects that are gone after it.
  const observe: CallObserver = ({ call: { protocol, requestId, connection, headers }, ...record }) =>
    void records.push({ ...record, call: { protocol, requestId, connection, headers } });
  const admission = new Admission(maxCalls);
  const clientAddressOf: ClientAddressOf = ({ connection }) => connection.peer;
  const [streams, strangers] = [new ShareHolders(maxStreams), new ShareHolders(maxStreams)];
  const pipeline = new CallPipeline({
    operations: { ...downloadSessionOperations({ store, content }), serverStreams },
    authenticate,
    administrate,
    admission,
    streams,
    strangers,
    clientAddressOf,
    observe,
  });
  const health = new Health([serviceName]);
  health.set("SERVING");
  const [endCalls, endStreams] = [new AbortController(), new AbortController()];
  const rpc = rpcHandler({
    pipeline,
    fastLane,
    health,
    strangers,
    clientAddressOf,
    maxBodyBytes: maxMessageBytes,
    patience,
    callsMustEnd: endCalls.signal,
    streamsMustEnd: AbortSignal.any([endCalls.signal, endStreams.signal]),
    observe,
  });
  const protocols = [rpc, next({ pipeline, observe })];
  const rpcHandlers = firstOf(protocols);
  const { handler, takeStream } = rpcHandlers;

  const http1 = createHttp1Server(handler).listen(0, "127.0.0.1");
  const requests = createHttp2Server(handler);
  const http2 = createHttp2Server()
    .on("stream", (stream, headers, flags, rawHeaders) => {
      if (!takeStream(stream, headers, rawHeaders))
        requests.emit("stream", stream, headers, flags, rawHeaders);
    })
    .listen(0, "127.0.0.1");
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
    endCalls,
    endStreams,
    store,
    admission,
    streams,
    watches: strangers,
    rpc: rpcHandlers,
    protocols,
    stalledCalls: () => (store as FaultyStore).stalledCalls,
    async [Symbol.asyncDispose]() {
      http1.close();
      http1.closeAllConnections();
      http2.close();
      for (const session of sessions) session.destroy();
    },
  };
}
