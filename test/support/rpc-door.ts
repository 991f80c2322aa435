import { once } from "node:events";
import { createServer as createHttp1Server } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import type { ContentSource } from "../../src/domain/content-source.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import type { Caller, Session } from "../../src/domain/session.ts";
import { Admission } from "../../src/operations/admission.ts";
import type { CallObserver, CallRecord } from "../../src/operations/call.ts";
import { Corridor } from "../../src/operations/corridor.ts";
import { downloadSessionOperations } from "../../src/operations/download-session.ts";
import type { HttpHandler } from "../../src/operations/http.ts";
import { openRpcDoor } from "../../src/rpc/handler.ts";
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

/** The two ways that an RPC can take, for `describe.each`. */
export const lanes = [
  { lane: "on the fast lane", fastLane: true },
  { lane: "in Connect's runtime", fastLane: false },
] as const;

export interface RpcDoorOptions {
  readonly fastLane?: boolean;
  /** Calls that may be under way at a time. */
  readonly maxCalls?: number;
}

export async function startRpcDoor({
  fastLane = true,
  maxCalls = 1000,
}: RpcDoorOptions = {}): Promise<RpcDoor> {
  const store = new FaultyStore({ path: ":memory:", terms: { leaseMs: 60_000, retentionMs: 60_000 } });
  const records: CallRecord[] = [];
  // The call itself reads lazily from what is gone after the call.
  const observe: CallObserver = ({ call: { door, requestId, connection }, ...record }) =>
    void records.push({ ...record, call: { door, requestId, connection } });
  const corridor = new Corridor({
    operations: downloadSessionOperations({ store, content }),
    authenticate: () => ({ principal: "anonymous", admin: false }),
    admission: new Admission(maxCalls),
    observe,
  });
  const health = new Health([serviceName]);
  health.set("SERVING");
  const shutdown = new AbortController();
  const fallback: HttpHandler = (_, response) => {
    response.writeHead(404, { "content-type": "text/plain" });
    response.end("fallback");
  };
  const { signal } = shutdown;
  const { handler, takeStream } = openRpcDoor({
    corridor,
    fastLane,
    health,
    maxBodyBytes,
    shutdownSignal: signal,
    streamsSignal: signal,
    observe,
    fallback,
  });

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
