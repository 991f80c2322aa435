import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { gzipSync } from "node:zlib";
import { create, createRegistry, fromBinary, fromJson, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  BatchKeepAliveResponseSchema,
  DownloadSessionService,
  type KeepAliveResult,
  KeepAliveStreamRequestSchema,
  KeepAliveStreamResponseSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import { Server } from "../../src/server/server.ts";
import { startTestApp, storeKinds } from "../support/app.ts";
import { callerNamed } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { type Answered, type Beat, keepAliveStreams } from "../support/keep-alive-streams.ts";
import {
  answerOf,
  begin,
  envelope,
  grpcEnd,
  messagesIn,
  pathOf,
  type RawAnswer,
} from "../support/raw-rpc.ts";
import { startRedis } from "../support/redis-server.ts";
import {
  itemId,
  lanes,
  maxBodyBytes,
  type RpcService,
  type RpcServiceOptions,
  startRpcService,
} from "../support/rpc-service.ts";

const caller = callerNamed("anonymous");

describe.each(lanes)("$lane", ({ fastLane }) => {
  let service: RpcService;
  const sessions: ClientHttp2Session[] = [];
  async function open(options: RpcServiceOptions = {}): Promise<void> {
    service = await startRpcService({ fastLane, ...options });
  }
  beforeEach(() => open());
  afterEach(async () => {
    for (const session of sessions.splice(0)) session.destroy();
    await service[Symbol.asyncDispose]();
  });

  async function newSession(owner = "anonymous"): Promise<string> {
    const id = crypto.randomUUID();
    await service.store.create({ id, owner, libraryItemId: itemId, contentVersion: "7" });
    return id;
  }

  /** Every way in which a keep-alive can be refused by itself. */
  async function refusedBeats(): Promise<Beat[]> {
    const [active, canceled, ofSomebodyElse] = [
      await newSession(),
      await newSession(),
      await newSession("somebody"),
    ];
    await service.store.finish(canceled, caller, "CANCELED");
    return [
      { downloadSessionId: "nobody, é 100 %" },
      { downloadSessionId: ofSomebodyElse },
      { downloadSessionId: canceled },
      { downloadSessionId: canceled, progress: 101n },
      { downloadSessionId: active, progress: 101n },
      { downloadSessionId: active, progress: -(2n ** 63n) },
      { downloadSessionId: "" },
      { downloadSessionId: "a\u0000b" },
      { downloadSessionId: "x".repeat(257) },
    ];
  }

  const unaryClient = () =>
    createClient(DownloadSessionService, createGrpcTransport({ baseUrl: service.http2Url }));

  /** What KeepAlive says. */
  async function refusalOf(beat: Beat): Promise<Refusal> {
    const error: unknown = await unaryClient()
      .keepAlive(beat)
      .catch((reason) => reason);
    if (!(error instanceof ConnectError)) throw new Error("not refused");
    return { code: error.code, message: error.rawMessage, info: error.findDetails(ErrorInfoSchema)[0] };
  }

  interface Refusal {
    readonly code: number;
    readonly message: string;
    readonly info: unknown;
  }

  function refusalIn({ error }: KeepAliveResult): Refusal {
    if (error === undefined) throw new Error("not refused");
    return { code: error.code, message: error.message, info: anyUnpack(error.details[0]!, ErrorInfoSchema) };
  }

  async function expectSameAsUnary(
    beats: readonly Beat[],
    results: readonly KeepAliveResult[],
  ): Promise<void> {
    expect(results.map(({ downloadSessionId }) => downloadSessionId)).toEqual(
      beats.map(({ downloadSessionId }) => downloadSessionId),
    );
    for (const [index, beat] of beats.entries()) {
      expect(refusalIn(results[index]!)).toEqual(await refusalOf(beat));
      expect(results[index]).toMatchObject({ clientProgress: 0n });
      expect(results[index]!.expirationTime).toBeUndefined();
    }
  }

  describe("BatchKeepAlive", () => {
    test("reports for each refused keep-alive what KeepAlive reports", async () => {
      const beats = await refusedBeats();
      const { results } = await unaryClient().batchKeepAlive({ keepAlives: beats });
      await expectSameAsUnary(beats, results);
    });

    test("can carry a refusal in JSON", async () => {
      const response = await fetch(`${service.http1Url}${pathOf("BatchKeepAlive")}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ keepAlives: [{ downloadSessionId: "nobody" }] }),
      });
      expect(response.status).toBe(200);
      const registry = createRegistry(ErrorInfoSchema);
      const { results } = fromJson(BatchKeepAliveResponseSchema, (await response.json()) as JsonObject, {
        registry,
      });
      await expectSameAsUnary([{ downloadSessionId: "nobody" }], results);
    });

    test("renews some and refuses others, in the order of the request", async () => {
      const [one, other] = [await newSession(), await newSession()];
      const { results } = await unaryClient().batchKeepAlive({
        keepAlives: [
          { downloadSessionId: one, progress: 5n },
          { downloadSessionId: "nobody" },
          { downloadSessionId: other, progress: 500n },
          { downloadSessionId: other },
          { downloadSessionId: one, progress: 40n },
          { downloadSessionId: one, progress: 20n },
        ],
      });
      expect(results.map(({ clientProgress, error }) => error?.code ?? clientProgress)).toEqual([
        5n,
        status.NOT_FOUND,
        status.INVALID_ARGUMENT,
        0n,
        40n,
        40n,
      ]);
      expect((await service.store.get(one, caller))?.progress).toBe(40);
    });

    test.each([0, 1, 1000])("of %i is answered", async (length) => {
      await service[Symbol.asyncDispose]();
      await open({ maxMessageBytes: 65_536 });
      const id = await newSession();
      const keepAlives = Array.from({ length }, () => ({ downloadSessionId: id, progress: 1n }));
      const { results } = await unaryClient().batchKeepAlive({ keepAlives });
      expect(results.map(({ clientProgress }) => clientProgress)).toEqual(Array(length).fill(1n));
    });

    test("of 1,001 is refused as a whole, and nothing has changed", async () => {
      await service[Symbol.asyncDispose]();
      await open({ maxMessageBytes: 65_536 });
      const id = await newSession();
      const keepAlives = Array(1001).fill({ downloadSessionId: id, progress: 1n });
      const error = ConnectError.from(
        await unaryClient()
          .batchKeepAlive({ keepAlives })
          .catch((reason) => reason),
      );
      expect(error).toMatchObject({ code: status.INVALID_ARGUMENT });
      expect(error.findDetails(ErrorInfoSchema)).toMatchObject([
        {
          metadata: {
            message_id: "downlease.argument.too_many",
            arg0: "keep_alives",
            arg1: "1001",
            arg2: "1000",
          },
        },
      ]);
      expect((await service.store.get(id, caller))?.progress).toBe(0);
    });

    test("fails as a whole when the store does not answer", async () => {
      const keepAlives = [{ downloadSessionId: "unavailable" }, { downloadSessionId: "nobody" }];
      const error = ConnectError.from(
        await unaryClient()
          .batchKeepAlive({ keepAlives })
          .catch((reason) => reason),
      );
      expect(error).toMatchObject({ code: status.UNAVAILABLE });
    });
  });

  describe.each(Object.entries(keepAliveStreams))("KeepAliveStream, %s", (_, keepAliveStream) => {
    /** All the answers to keep-alives that are sent without waiting for any. */
    async function talk(beats: readonly Beat[]) {
      const answers: Answered[] = [];
      async function* all() {
        yield* beats;
      }
      const end = await keepAliveStream(service.http2Url, all(), (answer) => answers.push(answer));
      return { answers, end };
    }

    test("answers 5,000 requests that are sent at once, in their order", async () => {
      const ids = await Promise.all(Array.from({ length: 10 }, () => newSession()));
      const beats = Array.from({ length: 5000 }, (_, index) => ({
        downloadSessionId: ids[index % 10] ?? "",
        progress: BigInt(Math.floor(index / 50)),
      }));
      const { answers, end } = await talk(beats);
      expect(end.code).toBe(status.OK);
      expect(answers).toEqual(
        beats.map(({ downloadSessionId: id, progress }) => ({ id, progress: Number(progress) })),
      );
    });

    test("continues after refusals, and ends with OK when the caller has sent everything", async () => {
      const id = await newSession();
      const refused = await refusedBeats();
      const beats = refused.flatMap((beat) => [beat, { downloadSessionId: id }]);
      const { answers, end } = await talk(beats);
      expect(end.code).toBe(status.OK);
      const codes = await Promise.all(refused.map(async (beat) => (await refusalOf(beat)).code));
      expect(answers).toEqual(
        refused.flatMap(({ downloadSessionId }, index) => [
          { id: downloadSessionId, refusedWith: codes[index] },
          { id, progress: 0 },
        ]),
      );
    });

    test("answers a request before the next is sent", async () => {
      const id = await newSession();
      const answers: Answered[] = [];
      async function* oneByOne() {
        for (let sent = 0; sent < 20; sent++) {
          yield { downloadSessionId: id, progress: BigInt(sent) };
          await eventually("the answer", () => answers.length === sent + 1, { everyMs: 1 });
        }
      }
      const end = await keepAliveStream(service.http2Url, oneByOne(), (answer) => answers.push(answer));
      expect(end.code).toBe(status.OK);
      expect(answers.map(({ progress }) => progress)).toEqual([...Array(20).keys()]);
    });

    test("without requests ends with OK", async () => {
      expect(await talk([])).toEqual({ answers: [], end: { code: status.OK, message: expect.any(String) } });
    });

    test("ends with UNAVAILABLE when the store does not answer", async () => {
      const { answers, end } = await talk([{ downloadSessionId: "unavailable" }]);
      expect(answers).toEqual([]);
      expect(end).toEqual({
        code: status.UNAVAILABLE,
        message: "The session store does not answer; the outcome is unknown. Try again.",
      });
      await eventually(
        "the end to be recorded",
        () => service.records.at(-1)?.outcome === "service_unavailable",
      );
    });

    test("ends with UNAVAILABLE when the server stops, after what it has read is answered", async () => {
      const id = await newSession();
      const answers: Answered[] = [];
      async function* untilStopped() {
        yield { downloadSessionId: id };
        await eventually("the answer", () => answers.length === 1);
        service.endStreams.abort();
        await eventually("the end in the server", () => service.records.length === 1);
      }
      const end = await keepAliveStream(service.http2Url, untilStopped(), (answer) => answers.push(answer));
      expect(end).toEqual({ code: status.UNAVAILABLE, message: "The server is shutting down. Try again." });
      expect(service.records).toMatchObject([
        { operation: "DownloadSession.KeepAliveStream", outcome: "service_unavailable" },
      ]);
    });
  });

  describe("KeepAliveStream on the wire", () => {
    const messageFor = (beat: Beat) =>
      toBinary(KeepAliveStreamRequestSchema, create(KeepAliveStreamRequestSchema, beat));
    const requestFor = (beat: Beat) => envelope(messageFor(beat));

    function beginStream(headers: Record<string, string> = {}, url = service.http2Url): ClientHttp2Stream {
      const session = connect(url);
      sessions.push(session);
      session.on("error", () => {});
      return begin(session, "KeepAliveStream", {
        "content-type": "application/grpc",
        te: "trailers",
        ...headers,
      });
    }

    const resultsIn = ({ body }: Pick<RawAnswer, "body">) =>
      messagesIn(body).map((bytes) => fromBinary(KeepAliveStreamResponseSchema, bytes).result!);

    test("reports for each refused keep-alive what KeepAlive reports", async () => {
      const beats = await refusedBeats();
      const answer = await answerOf(beginStream(), beats.map(requestFor));
      await expectSameAsUnary(beats, resultsIn(answer));
      expect(grpcEnd(answer)).toMatchObject({ code: status.OK });
    });

    test("is the same however the requests are cut into frames", async () => {
      const id = await newSession();
      const beats = [1n, 2n, 3n, 4n].map((progress) => ({ downloadSessionId: id, progress }));
      const bytes = Buffer.concat(beats.map(requestFor));
      for (const size of [bytes.length, 100, 7, 1]) {
        const pieces = [];
        for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
        const answer = await answerOf(beginStream(), pieces);
        expect(grpcEnd(answer).code).toBe(status.OK);
        expect(resultsIn(answer)).toHaveLength(beats.length);
      }
    });

    const good = { downloadSessionId: "nobody" };
    test.each([
      ["is not a message", envelope(Buffer.from([0xff, 0xff])), [status.INVALID_ARGUMENT, status.INTERNAL]],
      [
        "announces a size above the limit",
        Buffer.from([0, 0xff, 0xff, 0xff, 0xff]),
        [status.RESOURCE_EXHAUSTED],
      ],
      [
        "is larger than the limit",
        envelope(messageFor({ downloadSessionId: "x".repeat(maxBodyBytes) })),
        [status.RESOURCE_EXHAUSTED],
      ],
      [
        "is compressed with an unnamed algorithm",
        envelope(gzipSync(messageFor(good)), 1),
        [status.INVALID_ARGUMENT, status.INTERNAL],
      ],
      ["ends in the middle", requestFor(good).subarray(0, 9), [status.INVALID_ARGUMENT, status.INTERNAL]],
      ["has half a head", Buffer.from([0, 0]), [status.INVALID_ARGUMENT, status.INTERNAL]],
    ])("ends when a request %s, after those before it are answered", async (_, bad, codes) => {
      for (const body of [[requestFor(good), bad], [Buffer.concat([requestFor(good), bad])]]) {
        const answer = await answerOf(beginStream(), body);
        const { code, message } = grpcEnd(answer);
        expect(codes).toContain(code);
        expect(message).not.toBe("");
        // Connect's runtime may refuse a message that is too large before it has answered the previous one.
        if (fastLane || code !== status.RESOURCE_EXHAUSTED) expect(resultsIn(answer)).toHaveLength(1);
      }
    });

    test("takes compressed requests", async () => {
      const answer = await answerOf(beginStream({ "grpc-encoding": "gzip" }), [
        envelope(gzipSync(messageFor(good)), 1),
        requestFor(good),
      ]);
      expect(grpcEnd(answer).code).toBe(status.OK);
      expect(messagesIn(answer.body, String(answer.headers["grpc-encoding"]))).toHaveLength(2);
    });

    test("ends at its deadline, silent or busy", async () => {
      for (const beats of [[], [good], [{ downloadSessionId: "stalled" }]]) {
        const stream = beginStream({ "grpc-timeout": "100m" });
        for (const beat of beats) stream.write(requestFor(beat));
        expect(grpcEnd(await answerOf(stream)).code).toBe(status.DEADLINE_EXCEEDED);
        await eventually("the end to be recorded", () => service.records.at(-1)?.outcome === "timed_out");
        service.records.length = 0;
      }
    });

    const expectOutcomes = (...outcomes: string[]) =>
      eventually("the end to be recorded", () => {
        expect(service.records).toMatchObject([
          { operation: "DownloadSession.KeepAliveStream", call: { connection: { peer: "127.0.0.1" } } },
        ]);
        expect(outcomes).toContain(service.records[0]?.outcome);
        return true;
      });

    test("that its caller resets while it is answered is canceled", async () => {
      const stream = beginStream();
      stream.on("error", () => {}).write(requestFor({ downloadSessionId: "stalled" }));
      await eventually("the request in the store", () => service.stalledCalls() === 1);
      stream.close(constants.NGHTTP2_CANCEL);
      await expectOutcomes("canceled");
    });

    test("whose caller goes away in the middle of a request is canceled", async () => {
      const stream = beginStream();
      stream.on("error", () => {}).write(requestFor(good));
      await once(stream, "data");
      stream.write(requestFor(good).subarray(0, 7));
      await new Promise((resolve) => sessions[0]!.ping(resolve));
      sessions[0]!.destroy();
      // Connect's runtime only sees half of a request.
      await expectOutcomes("canceled", ...(fastLane ? [] : ["invalid_request"]));
    });

    test("ends with UNAVAILABLE when the shutdown time is over before the store responds", async () => {
      const stream = beginStream();
      const answer = answerOf(stream);
      stream.write(requestFor({ downloadSessionId: "stalled" }));
      await eventually("the request in the store", () => service.stalledCalls() === 1);
      service.endCalls.abort(new ServiceError("downlease.server.stopping"));
      expect(grpcEnd(await answer).code).toBe(status.UNAVAILABLE);
    });

    test("may be silent for longer than a request may take", async () => {
      const server = new Server({
        ...service.rpc,
        host: "127.0.0.1",
        port: 0,
        limits: { headersMs: 50, requestMs: 50 },
      });
      const { port } = await server.listen();
      const url = `http://127.0.0.1:${port}`;
      const stream = beginStream({}, url);
      const answer = answerOf(stream);
      stream.write(requestFor(good));
      await once(stream, "data");
      // A request that begins later is cut because its body does not arrive.
      const [session] = sessions;
      const halfRequest = begin(session!, "KeepAlive", { "content-type": "application/connect+proto" });
      halfRequest.on("error", () => {});
      await once(halfRequest, "close");
      stream.end(requestFor(good));
      expect(resultsIn(await answer)).toHaveLength(2);
      await server.close(AbortSignal.abort());
    });

    test("is not read while its caller does not read the answers, and loses none of them", async () => {
      const id = await newSession();
      const total = 20_000;
      let requested = 0;
      const { keepAliveMany } = service.store;
      service.store.keepAliveMany = (beats, by) => {
        requested += beats.length;
        return keepAliveMany.call(service.store, beats, by);
      };
      const mayRead = Promise.withResolvers<void>();
      const requests = Buffer.concat(Array(total).fill(requestFor({ downloadSessionId: id })));
      const answered = answerOf(beginStream(), [requests], mayRead.promise);
      const [session] = sessions;
      let before = -1;
      await eventually("the server to stop reading", async () => {
        await new Promise((resolve) => session!.ping(resolve));
        const isStill = requested > 0 && requested === before;
        before = requested;
        return isStill;
      });
      expect(requested).toBeLessThan(total / 2);
      mayRead.resolve();
      const answer = await answered;
      expect(requested).toBe(total);
      expect(resultsIn(answer)).toHaveLength(total);
      expect(grpcEnd(answer).code).toBe(status.OK);
    });
  });
});

test.each(storeKinds)("/metrics counts the keep-alives of batches and streams, %s", async (store) => {
  const app = await startTestApp({ store });
  try {
    const client = createClient(DownloadSessionService, createGrpcTransport({ baseUrl: app.url }));
    const { downloadSessionId } = await client.create({ createSpec: { libraryItemId: await app.addItem() } });
    const keepAlives = [{ downloadSessionId }, { downloadSessionId: "nobody" }, { downloadSessionId }];
    await client.batchKeepAlive({ keepAlives });
    async function* beats() {
      yield* keepAlives;
    }
    for await (const _ of client.keepAliveStream(beats()));
    const text = await (await fetch(`${app.adminUrl}/metrics`)).text();
    expect(text).toContain('downlease_shared_keep_alives_total{code="ok"} 4\n');
    expect(text).toContain('downlease_shared_keep_alives_total{code="not_found"} 2\n');
  } finally {
    await app.stop();
  }
});

test.each(storeKinds)(
  "5,000 keep-alives sent at once on one stream are answered in order, %s",
  async (store) => {
    const app = await startTestApp({ store });
    try {
      const client = createClient(DownloadSessionService, createGrpcTransport({ baseUrl: app.url }));
      const libraryItemId = await app.addItem();
      const ids = await Promise.all(
        Array.from(
          { length: 100 },
          async () => (await client.create({ createSpec: { libraryItemId } })).downloadSessionId,
        ),
      );
      const beats = Array.from({ length: 5000 }, (_, index) => ({
        downloadSessionId: ids[index % 100] ?? "",
        progress: BigInt(Math.floor(index / 100)),
      }));
      async function* all() {
        yield* beats;
      }
      const answers: Answered[] = [];
      const keepAliveStream = keepAliveStreams["gRPC, grpc-js"]!;
      const end = await keepAliveStream(app.url, all(), (answer) => answers.push(answer));
      expect(end.code).toBe(status.OK);
      expect(answers).toEqual(
        beats.map(({ downloadSessionId: id, progress }) => ({ id, progress: Number(progress) })),
      );
    } finally {
      await app.stop();
    }
  },
);

test.each(lanes)(
  "a stream ends with UNAVAILABLE when Redis goes down in the middle, $lane",
  async ({ fastLane }) => {
    await using redis = await startRedis();
    const app = await startTestApp({ redisUrl: redis.url, fastLane });
    try {
      const answers: Answered[] = [];
      async function* beats() {
        yield { downloadSessionId: "nobody" };
        await eventually("the answer", () => answers.length === 1);
        await redis.kill();
        yield { downloadSessionId: "nobody" };
      }
      const keepAliveStream = keepAliveStreams["gRPC, grpc-js"]!;
      const end = await keepAliveStream(app.url, beats(), (answer) => answers.push(answer));
      expect(end).toEqual({
        code: status.UNAVAILABLE,
        message: "The session store does not answer; the outcome is unknown. Try again.",
      });
      expect(answers).toEqual([{ id: "nobody", refusedWith: status.NOT_FOUND }]);
    } finally {
      await app.stop();
    }
  },
);
