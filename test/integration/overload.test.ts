import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { KeepAliveRequestSchema } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Health, HealthCheckResponse_ServingStatus } from "../../gen/grpc/health/v1/health_pb.ts";
import { firstOf } from "../../src/calls/protocol-handler.ts";
import type { Caller } from "../../src/domain/session.ts";
import { restHandler } from "../../src/protocols/vapi/handler.ts";
import { healthHandler } from "../../src/server/admin.ts";
import { Server } from "../../src/server/server.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { eventually } from "../support/eventually.ts";
import {
  envelope,
  grpcEnd,
  http1Client,
  http2Client,
  type RawAnswer,
  type RawClient,
  type RawRequest,
} from "../support/raw-rpc.ts";
import { itemId, lanes, maxBodyBytes, type RpcService, startRpcService } from "../support/rpc-service.ts";

/** Keep-alives wait until they are released. */
class HeldStore extends SqliteSessionStore {
  /** The sessions of the keep-alives that have begun. */
  readonly begun: string[] = [];
  readonly released = Promise.withResolvers<void>();

  override async keepAlive(id: string, caller: Caller, progress?: number) {
    this.begun.push(id);
    await this.released.promise;
    return super.keepAlive(id, caller, progress);
  }
}

/** The outcome of a keep-alive as its caller sees it. */
type Outcome =
  | "renewed"
  | {
      readonly status: string;
      readonly messageId: string;
      readonly retryAfter: unknown;
      readonly retryInfo: unknown;
    };

interface OverloadedClient {
  /** HTTP/2 puts the calls of a client on one connection, HTTP/1 takes one for each. */
  readonly connect: (url: string) => RawClient;
  request(id: string): RawRequest;
  read(answer: RawAnswer): Outcome;
}

const message = (id: string) =>
  toBinary(KeepAliveRequestSchema, create(KeepAliveRequestSchema, { downloadSessionId: id }));

function readGrpc(answer: RawAnswer): Outcome {
  const { code, status: details } = grpcEnd(answer);
  if (code === status.OK) return "renewed";
  const [info, retry] = details!.details;
  return {
    status: String(code),
    messageId: anyUnpack(info!, ErrorInfoSchema)!.metadata.message_id!,
    retryAfter: answer.trailers["retry-after"] ?? answer.headers["retry-after"],
    retryInfo: Number(anyUnpack(retry!, RetryInfoSchema)!.retryDelay!.seconds),
  };
}

/** The trailers of gRPC-Web are the last part of the body. */
function readGrpcWeb(answer: RawAnswer): Outcome {
  const trailers = Object.fromEntries(
    [...answer.body.toString("latin1").matchAll(/([\w-]+): (.*)\r\n/g)].map(([, name, value]) => [
      name,
      value,
    ]),
  );
  return readGrpc({ ...answer, trailers });
}

interface ConnectJsonError {
  readonly details: readonly [
    { readonly debug: { readonly metadata: { readonly message_id: string } } },
    { readonly type: string; readonly value: string },
  ];
}

function readConnect({ httpStatus, headers, body }: RawAnswer): Outcome {
  if (httpStatus === 200) return "renewed";
  const { details } = JSON.parse(body.toString()) as ConnectJsonError;
  const [info, retry] = details;
  return {
    status: String(httpStatus),
    messageId: info.debug.metadata.message_id,
    retryAfter: headers["retry-after"],
    retryInfo: Number(fromBinary(RetryInfoSchema, base64Decode(retry.value)).retryDelay!.seconds),
  };
}

function readRest({ httpStatus, headers, body }: RawAnswer): Outcome {
  if (httpStatus === 200) return "renewed";
  const { value } = JSON.parse(body.toString());
  return {
    status: String(httpStatus),
    messageId: value.messages[0].id,
    retryAfter: headers["retry-after"],
    // REST has no RetryInfo; every RPC protocol does.
    retryInfo: 1,
  };
}

const restRequest = (id: string) => ({
  method: `/rest/com/vmware/content/library/item/download-session/id:${id}?~action=keep-alive`,
  headers: { "content-type": "application/json" },
  body: [Buffer.from("{}")],
});
const rpcRequest = (headers: Record<string, string>, body: (id: string) => Uint8Array) => (id: string) => ({
  method: "KeepAlive",
  headers,
  body: [body(id)],
});

const overloadedClients: Readonly<Record<string, OverloadedClient>> = {
  gRPC: {
    connect: http2Client,
    request: rpcRequest({ "content-type": "application/grpc", te: "trailers" }, (id) =>
      envelope(message(id)),
    ),
    read: readGrpc,
  },
  "gRPC-Web": {
    connect: http2Client,
    request: rpcRequest({ "content-type": "application/grpc-web+proto" }, (id) => envelope(message(id))),
    read: readGrpcWeb,
  },
  "Connect over HTTP/2": {
    connect: http2Client,
    request: rpcRequest({ "content-type": "application/proto" }, message),
    read: readConnect,
  },
  "Connect over HTTP/1.1": {
    connect: http1Client,
    request: rpcRequest({ "content-type": "application/json" }, (id) =>
      Buffer.from(JSON.stringify({ downloadSessionId: id })),
    ),
    read: readConnect,
  },
  "REST over HTTP/1.1": { connect: http1Client, request: restRequest, read: readRest },
  "REST over HTTP/2": { connect: http2Client, request: restRequest, read: readRest },
};

const limit = 20;
/** Maximum number of calls in flight on connections that have some already; the rest is for newcomers. */
const limitForBusy = 16;

describe.each(lanes)("$lane", ({ fastLane }) => {
  let store: HeldStore;
  let service: RpcService;
  let server: Server;
  let url: string;
  const clients: RawClient[] = [];
  beforeEach(async () => {
    store = new HeldStore({
      database: new SqliteDatabase(":memory:"),
      terms: { leaseMs: 60_000, retentionMs: 60_000 },
    });
    service = await startRpcService({
      fastLane,
      maxCalls: limit,
      store,
      next: (parts) => restHandler({ ...parts, maxBodyBytes }),
    });
    const admin = healthHandler(service.health);
    server = new Server({ ...firstOf([admin, ...service.protocols]), host: "127.0.0.1", port: 0 });
    url = `http://127.0.0.1:${(await server.listen()).port}`;
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client[Symbol.dispose]();
    await server.close(AbortSignal.abort());
    await service[Symbol.asyncDispose]();
  });

  function newSessions(count: number): Promise<string[]> {
    return Promise.all(
      Array.from({ length: count }, async () => {
        const id = crypto.randomUUID();
        await store.create({ id, owner: "anonymous", libraryItemId: itemId, contentVersion: "7" });
        return id;
      }),
    );
  }

  function connect(kind: OverloadedClient): RawClient {
    const client = kind.connect(url);
    clients.push(client);
    return client;
  }

  /** A keep-alive for each session, all at once. */
  function flood(kind: OverloadedClient, over: readonly RawClient[], ids: readonly string[]) {
    const outcomes = new Map<string, Outcome>();
    const calls = ids.map(async (id, index) => {
      const answer = await over[index % over.length]!.send(kind.request(id));
      outcomes.set(id, kind.read(answer));
    });
    return { outcomes, all: Promise.all(calls) };
  }

  const restCodes = { status: "503", retryAfter: "1" };
  const refusal = (kind: OverloadedClient) => ({
    ...restCodes,
    ...(kind.read === readGrpc || kind.read === readGrpcWeb ? { status: String(status.UNAVAILABLE) } : {}),
    messageId: "downlease.server.overloaded",
    retryInfo: 1,
  });

  test.each(Object.keys(overloadedClients))(
    "of five times as many calls as the limit some wait, the others are refused at once, and none is lost: %s",
    async (name) => {
      const kind = overloadedClients[name]!;
      const ids = await newSessions(5 * limit);
      const over = Array.from({ length: 10 }, () => connect(kind));
      const { outcomes, all } = flood(kind, over, ids);
      await eventually(
        "every call to be refused or in flight",
        () => outcomes.size + store.begun.length === ids.length,
      );

      expect(store.begun.length).toBeLessThanOrEqual(limit);
      expect(store.begun.length).toBeGreaterThanOrEqual(limitForBusy);
      expect(service.admission.load).toBe(store.begun.length);
      for (const answer of outcomes.values()) expect(answer).toEqual(refusal(kind));

      store.released.resolve();
      await all;
      const renewed = ids.filter((id) => outcomes.get(id) === "renewed");
      expect(renewed.toSorted()).toEqual(store.begun.toSorted());
      expect(service.admission.load).toBe(0);
      expect(service.records).toHaveLength(ids.length);

      const again = flood(kind, over, ids.slice(0, over.length));
      await again.all;
      expect(new Set(again.outcomes.values())).toEqual(new Set(["renewed"]));
      expect(service.admission.load).toBe(0);
    },
  );

  test("a connection that floods does not block the calls of others", async () => {
    const kind = overloadedClients.gRPC!;
    const [flooding, ...others] = Array.from({ length: 5 }, () => connect(kind)) as [
      RawClient,
      ...RawClient[],
    ];
    const ids = await newSessions(10 * limit);
    const flooded = flood(kind, [flooding], ids);
    await eventually("the flood", () => flooded.outcomes.size + store.begun.length === ids.length);
    expect(store.begun).toHaveLength(limitForBusy);

    const ofOthers = await newSessions(others.length);
    const calls = flood(kind, others, ofOthers);
    await eventually("the calls of others", () => store.begun.length === limit);
    expect(store.begun.slice(limitForBusy).toSorted()).toEqual(ofOthers.toSorted());
    store.released.resolve();
    await Promise.all([flooded.all, calls.all]);
    expect([...calls.outcomes.values()]).toEqual(Array(others.length).fill("renewed"));
  });

  test("health is served during an overload", async () => {
    const kind = overloadedClients.gRPC!;
    const ids = await newSessions(5 * limit);
    const { outcomes, all } = flood(kind, [connect(kind), connect(kind)], ids);
    await eventually("the overload", () => outcomes.size + store.begun.length === ids.length);
    for (const path of ["/healthz", "/readyz"]) {
      expect((await fetch(`${url}${path}`)).status, path).toBe(200);
    }
    const health = createClient(Health, createGrpcTransport({ baseUrl: url }));
    expect(await health.check({})).toMatchObject({ status: HealthCheckResponse_ServingStatus.SERVING });
    store.released.resolve();
    await all;
  });
});
