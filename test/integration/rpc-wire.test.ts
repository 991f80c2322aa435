import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  FailRequestSchema,
  GetResponseSchema,
  KeepAliveResponseSchema,
  ListResponseSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import { Server } from "../../src/server/server.ts";
import { shutDown } from "../../src/server/shutdown.ts";
import { eventually } from "../support/eventually.ts";
import { rawConnection } from "../support/raw-connection.ts";
import { answerOf, begin, envelope, grpcEnd, grpcHeaders, messagesIn, pathOf } from "../support/raw-rpc.ts";
import {
  itemId,
  lanes,
  maxBodyBytes,
  type RpcService,
  type RpcServiceOptions,
  startRpcService,
} from "../support/rpc-service.ts";

/** A request that names a session. */
function requestFor(id: string): Buffer {
  return envelope(Buffer.from([10, id.length, ...Buffer.from(id)]));
}

let service: RpcService;
let session: ClientHttp2Session;
async function open(options: RpcServiceOptions): Promise<void> {
  service = await startRpcService(options);
  session = connect(service.http2Url);
  session.on("error", () => {});
  await once(session, "connect");
}
async function close(): Promise<void> {
  session.destroy();
  await service[Symbol.asyncDispose]();
}
afterEach(close);

async function newSession(): Promise<string> {
  const id = crypto.randomUUID();
  await service.store.create({ id, owner: "anonymous", libraryItemId: itemId, contentVersion: "7" });
  return id;
}

/** Begins a call of Get for the session `stalled`; resolves when it is in the store. */
async function stalledCall(headers: Readonly<Record<string, string>> = {}): Promise<ClientHttp2Stream> {
  const before = service.stalledCalls();
  const stream = begin(session, "Get", { ...grpcHeaders, ...headers });
  stream.on("error", () => {}).end(requestFor("stalled"));
  await eventually("the call in the store", () => service.stalledCalls() > before);
  return stream;
}

const halfRequest = requestFor("abc").subarray(0, 6);
const allIsOver = () => eventually("the end of all calls", () => service.admission.load === 0);
const onlyOutcome = () => eventually("the record of the call", () => service.records[0]?.outcome);

describe.each(lanes)("$lane", ({ fastLane }) => {
  beforeEach(() => open({ fastLane, maxCalls: 5000 }));

  describe("a deadline", () => {
    test("that passes in the middle of the work ends the call", async () => {
      const stream = begin(session, "Get", { ...grpcHeaders, "grpc-timeout": "50m" });
      const end = grpcEnd(await answerOf(stream, [requestFor("stalled")]));
      expect(end).toMatchObject({
        code: status.DEADLINE_EXCEEDED,
        message: "The deadline of the call has passed; its outcome is unknown.",
      });
      expect(await onlyOutcome()).toBe("timed_out");
      await allIsOver();
    });

    test("that is far away has no effect", async () => {
      const stream = begin(session, "List", { ...grpcHeaders, "grpc-timeout": "99999999n" });
      expect(grpcEnd(await answerOf(stream, [envelope(Buffer.alloc(0))])).code).toBe(status.OK);
    });
  });

  describe("a reset", () => {
    test("in the middle of the request leaves nothing behind", async () => {
      const stream = begin(session, "Get");
      stream.on("error", () => {}).write(halfRequest);
      await new Promise((resolve) => session.ping(resolve));
      stream.close(constants.NGHTTP2_CANCEL);
      expect(await onlyOutcome()).not.toBe("ok");
      expect(service.admission.load).toBe(0);
    });

    test("in the middle of the work cancels the call", async () => {
      const stream = await stalledCall();
      expect(service.admission.load).toBe(1);
      stream.close(constants.NGHTTP2_CANCEL);
      expect(await onlyOutcome()).toBe("canceled");
      await allIsOver();
    });

    test("after the answer has no effect", async () => {
      const stream = begin(session, "Get");
      await answerOf(stream, [requestFor("abc")]);
      stream.close(constants.NGHTTP2_CANCEL);
      expect(grpcEnd(await answerOf(begin(session, "Get"), [requestFor("abc")])).code).toBe(status.NOT_FOUND);
      expect(service.records.map(({ outcome }) => outcome)).toEqual(["not_found", "not_found"]);
    });

    test("of the connection cancels all of its calls", async () => {
      await Promise.all(Array.from({ length: 20 }, () => stalledCall()));
      session.destroy();
      await eventually("20 records", () => service.records.length === 20);
      expect(new Set(service.records.map(({ outcome }) => outcome))).toEqual(new Set(["canceled"]));
      expect(service.admission.load).toBe(0);
    });
  });

  test("a request without te is served", async () => {
    const stream = begin(session, "Get", { "content-type": "application/grpc" });
    expect(grpcEnd(await answerOf(stream, [requestFor("abc")])).code).toBe(status.NOT_FOUND);
  });

  test.each(["GET", "PUT", "HEAD"])("%s is not a call", async (method) => {
    const stream = session.request({ ":method": method, ":path": pathOf("Get"), ...grpcHeaders });
    expect((await answerOf(stream)).httpStatus).toBe(405);
  });

  test("an error comes in one block of headers or in trailers, with its details", async () => {
    const { headers, trailers, body } = await answerOf(begin(session, "Get"), [requestFor("abc")]);
    expect(body).toHaveLength(0);
    const { code, message, status } = grpcEnd({ httpStatus: 200, headers, trailers, body });
    expect(status).toMatchObject({ code, message });
    expect(anyUnpack(status!.details[0]!, ErrorInfoSchema)).toMatchObject({
      reason: "NOT_FOUND",
      domain: "com.vmware.vapi.std.errors",
      metadata: { message_id: "downlease.session.not_found", arg0: "abc" },
    });
  });

  test("a message of the maximum size is accepted, one more byte is not", async () => {
    const id = await newSession();
    const sized = (size: number) => {
      const bytes = (length: number) =>
        toBinary(
          FailRequestSchema,
          create(FailRequestSchema, { downloadSessionId: id, clientErrorMessage: "x".repeat(length) }),
        );
      return envelope(bytes(size - (bytes(size).length - size)));
    };
    expect(sized(maxBodyBytes)).toHaveLength(5 + maxBodyBytes);
    expect(grpcEnd(await answerOf(begin(session, "Fail"), [sized(maxBodyBytes + 1)])).code).toBe(
      status.RESOURCE_EXHAUSTED,
    );
    expect(grpcEnd(await answerOf(begin(session, "Fail"), [sized(maxBodyBytes)])).code).toBe(status.OK);
  });

  test("1,000 calls at a time on one connection are answered", async () => {
    const id = await newSession();
    const answers = await Promise.all(
      Array.from({ length: 1000 }, () => answerOf(begin(session, "KeepAlive"), [requestFor(id)])),
    );
    for (const answer of answers) {
      expect(grpcEnd(answer).code).toBe(status.OK);
      expect(fromBinary(KeepAliveResponseSchema, messagesIn(answer.body)[0]!).clientProgress).toBe(0n);
    }
    expect(service.admission.load).toBe(0);
  });

  describe("flow control", () => {
    const inList = 1000;
    async function withSlowClient(settings: { initialWindowSize: number }) {
      await Promise.all(Array.from({ length: inList }, newSession));
      session.destroy();
      session = connect(service.http2Url, { settings });
      session.on("error", () => {});
    }
    const listRequest = [envelope(Buffer.alloc(0))];
    const idsIn = (body: Buffer) => fromBinary(ListResponseSchema, messagesIn(body)[0]!).downloadSessionIds;

    test("a client with a tiny window gets the whole of a large answer", async () => {
      await withSlowClient({ initialWindowSize: 100 });
      const answer = await answerOf(begin(session, "List"), listRequest);
      expect(idsIn(answer.body)).toHaveLength(inList);
      expect(grpcEnd(answer).code).toBe(status.OK);
    });

    test("a client that does not read is sent no more than its window, and does not block others", async () => {
      await withSlowClient({ initialWindowSize: 1000 });
      const mayRead = Promise.withResolvers<void>();
      const stream = begin(session, "List");
      const answered = answerOf(stream, listRequest, mayRead.promise);
      await once(stream, "response");
      await new Promise((resolve) => session.ping(resolve));
      expect(stream.readableLength).toBeLessThanOrEqual(1000);
      expect(grpcEnd(await answerOf(begin(session, "Get"), [requestFor("abc")])).code).toBe(status.NOT_FOUND);
      mayRead.resolve();
      expect(idsIn((await answered).body)).toHaveLength(inList);
    });
  });

  test("a stop answers calls that finish in time, and the others with UNAVAILABLE", async () => {
    const slow = Promise.withResolvers<void>();
    const id = await newSession();
    const { get } = service.store;
    service.store.get = async (sessionId, caller) => {
      if (sessionId === id) await slow.promise;
      return get.call(service.store, sessionId, caller);
    };
    const server = new Server({ ...service.rpc, host: "127.0.0.1", port: 0 });
    const { port } = await server.listen();
    session.destroy();
    session = connect(`http://127.0.0.1:${port}`);
    const goneAway = once(session, "goaway");

    const finished = answerOf(begin(session, "Get"), [requestFor(id)]);
    const stalled = answerOf(begin(session, "Get"), [requestFor("stalled")]);
    await eventually("both calls in the store", () => service.admission.load === 2);

    const stopped = shutDown({
      health: service.health,
      server,
      rest: { async [Symbol.asyncDispose]() {} },
      endStreams: service.endStreams,
      endCalls: service.endCalls,
      endDownloads: new AbortController(),
      graceMs: 1000,
      transferGraceMs: 0,
      drainMs: 0,
      log: pino({ level: "silent" }),
    });
    await goneAway;
    slow.resolve();
    const answer = await finished;
    expect(grpcEnd(answer).code).toBe(status.OK);
    expect(fromBinary(GetResponseSchema, messagesIn(answer.body)[0]!).downloadSession?.libraryItemId).toBe(
      itemId,
    );
    const stopping = {
      code: status.UNAVAILABLE,
      message: new ServiceError("downlease.server.stopping").message,
    };
    expect(grpcEnd(await stalled)).toMatchObject(stopping);
    await stopped;
  });
});

/** Connect's runtime ignores deadline and stop until it has the whole request. */
describe("on the fast lane, a request that is still being sent", () => {
  beforeEach(() => open({}));

  test("ends at its deadline over gRPC", async () => {
    const stream = begin(session, "Get", { ...grpcHeaders, "grpc-timeout": "50m" });
    stream.write(halfRequest);
    const end = grpcEnd(await answerOf(stream));
    expect(end.code).toBe(status.DEADLINE_EXCEEDED);
    await eventually("the refusal to be recorded", () => service.records.length === 1);
    expect(service.records).toMatchObject([{ operation: "DownloadSession.Get" }]);
  });

  test.each(["application/json", "application/proto"])(
    "ends at its deadline over Connect, %s",
    async (type) => {
      const stream = begin(session, "Get", { "content-type": type, "connect-timeout-ms": "50" });
      stream.write("{");
      const { httpStatus, body } = await answerOf(stream);
      expect(httpStatus).toBe(504);
      expect(JSON.parse(body.toString())).toMatchObject({ code: "deadline_exceeded" });
    },
  );

  test("ends at its deadline over Connect, HTTP/1.1", async () => {
    using connection = await rawConnection(Number(new URL(service.http1Url).port));
    connection.socket.write(
      `POST ${pathOf("Get")} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnect-Timeout-Ms: 50\r\nContent-Length: 9\r\n\r\n{`,
    );
    await connection.receives("deadline_exceeded");
    expect(connection.received).toMatch(/^HTTP\/1\.1 504 /);
  });

  test.each([
    ["gRPC", grpcHeaders, "grpc-status", String(status.UNAVAILABLE)],
    ["Connect", { "content-type": "application/proto" }, ":status", 503],
  ])("gets UNAVAILABLE over %s when the shutdown time is over", async (_, headers, name, code) => {
    const stream = begin(session, "Get", headers);
    stream.write(halfRequest);
    const answer = answerOf(stream);
    await new Promise((resolve) => session.ping(resolve));
    service.endCalls.abort(new ServiceError("downlease.server.stopping"));
    expect((await answer).headers[name]).toBe(code);
  });
});
