import { gzipSync } from "node:zlib";
import { create, type DescMethod, fromBinary, toBinary, toJsonString } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  BatchKeepAliveRequestSchema,
  CreateRequestSchema,
  DownloadSessionService,
  FailRequestSchema,
  ListRequestSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import type { NewSession, Session } from "../../src/domain/session.ts";
import { SqliteDatabase } from "../../src/stores/sqlite/database.ts";
import { SqliteSessionStore } from "../../src/stores/sqlite/sqlite-session-store.ts";
import { callerNamed } from "../support/callers.ts";
import {
  decompressed,
  envelope,
  grpcEnd,
  http1Client,
  http2Client,
  messagesIn,
  type RawAnswer,
  type RawClient,
  type RawRequest,
} from "../support/raw-rpc.ts";
import { itemId, maxBodyBytes, type RpcService, startRpcService } from "../support/rpc-service.ts";
import { clocksAt } from "../support/sqlite-backend.ts";

/** Both lanes must give the same answers, so new ids are numbered and the clock stands still. */
class RepeatableStore extends SqliteSessionStore {
  #made = 0;

  constructor() {
    const terms = { leaseMs: 60_000, retentionMs: 60_000 };
    super({ database: new SqliteDatabase(":memory:", { clocks: clocksAt(() => 1_750_000_000_000) }), terms });
  }

  override create(spec: NewSession): Promise<Session> {
    const isDerived = spec.id[14] === "5";
    return super.create({ ...spec, id: isDerived ? spec.id : `made-${this.#made++}` });
  }

  /** Replaces the active session with a new one, without progress. */
  async renewActive(): Promise<void> {
    await this.delete("made-0", caller);
    await super.create({ ...newSession, id: "made-0" });
  }
}

const caller = callerNamed("anonymous");
const newSession = { owner: "anonymous", libraryItemId: itemId, contentVersion: "7" };

const sessionKinds = ["active", "canceled", "failed"] as const;

interface Way {
  readonly store: RepeatableStore;
  readonly service: RpcService;
  readonly http1: RawClient;
  readonly http2: RawClient;
}

async function open(fastLane: boolean): Promise<Way> {
  const store = new RepeatableStore();
  for (const id of sessionKinds) await store.create({ ...newSession, id: `${id}-id-of-version-5` });
  await store.finish("made-1", caller, "CANCELED");
  await store.finish("made-2", caller, "ERROR", "words");
  const service = await startRpcService({ fastLane, store });
  return { store, service, http1: http1Client(service.http1Url), http2: http2Client(service.http2Url) };
}

let fast: Way;
let stock: Way;
beforeEach(async () => {
  [fast, stock] = await Promise.all([open(true), open(false)]);
});
afterEach(async () => {
  for (const { service, http1, http2 } of [fast, stock]) {
    http1[Symbol.dispose]();
    http2[Symbol.dispose]();
    await service[Symbol.asyncDispose]();
  }
});

const ids = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("made-0", "made-1", "made-2", "made-3") },
  { weight: 1, arbitrary: fc.constantFrom("", "nobody", "a\u0000b", "é, 100 % ü", "x".repeat(257)) },
);
const progress = fc.option(fc.oneof(fc.bigInt(0n, 100n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)), {
  nil: undefined,
});
const keepAlive = fc.record({ downloadSessionId: ids, progress }).map(defined);

function defined<T extends object>(value: T) {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined));
}

const { method: rpc } = DownloadSessionService;
type Message = Parameters<typeof toBinary>[1];

/** A request message of the method. */
function messageOf(method: DescMethod): fc.Arbitrary<Message> {
  switch (method) {
    case rpc.create: {
      const token = fc.constantFrom(undefined, "b7d7c2f4-0c0e-4a0e-8d2b-5f0d4b7f3a11", "no uuid");
      const libraryItemId = fc.constantFrom(itemId, itemId, "nothing", undefined);
      return fc
        .record({ clientToken: token, createSpec: fc.record({ libraryItemId }).map(defined) })
        .map((init) => create(CreateRequestSchema, defined(init)));
    }
    case rpc.list:
      return fc
        .record({ libraryItemId: fc.constantFrom(undefined, itemId, "nothing") })
        .map((init) => create(ListRequestSchema, defined(init)));
    case rpc.batchKeepAlive:
      return fc
        .array(keepAlive, { maxLength: 20 })
        .map((keepAlives) => create(BatchKeepAliveRequestSchema, { keepAlives }));
    case rpc.fail:
      return fc
        .record({
          downloadSessionId: ids,
          clientErrorMessage: fc.string({ unit: "grapheme", maxLength: 20 }),
        })
        .map((init) => create(FailRequestSchema, init));
    case rpc.keepAlive:
      return keepAlive.map((init) => create(method.input, init));
    default:
      return ids.map((downloadSessionId) => create(method.input, { downloadSessionId }));
  }
}

function mutated(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  if (bytes.length === 0) return fc.uint8Array({ maxLength: 8 });
  return fc.oneof(
    fc
      .tuple(fc.nat(bytes.length - 1), fc.nat(255))
      .map(([at, value]) => Uint8Array.from(bytes.with(at, value))),
    fc.nat(bytes.length).map((length) => bytes.subarray(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 8 }).map((rest) => Buffer.concat([bytes, rest])),
  );
}

/** Mostly unchanged; otherwise damaged, empty or too large. */
function perhapsBroken(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.constant(bytes) },
    { weight: 2, arbitrary: mutated(bytes) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(0, maxBodyBytes, maxBodyBytes + 1, 50_000).map((n) => new Uint8Array(n)),
    },
  );
}

/** One frame, several or none; compressed or only flagged as such; with the right length or a wrong one. */
function framed(message: Uint8Array): fc.Arbitrary<Uint8Array> {
  const whole = envelope(message);
  return fc.oneof(
    { weight: 6, arbitrary: fc.constant(whole) },
    { weight: 1, arbitrary: fc.constant(Buffer.concat([whole, whole])) },
    { weight: 1, arbitrary: fc.constant(envelope(gzipSync(message), 1)) },
    { weight: 1, arbitrary: fc.nat(255).map((flags) => envelope(message, flags)) },
    { weight: 1, arbitrary: fc.nat(20_000).map((length) => Buffer.concat([lengthHead(length), message])) },
    { weight: 2, arbitrary: perhapsBroken(whole) },
  );
}

function lengthHead(length: number): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length, 1);
  return head;
}

/** The bytes in any number of pieces. */
function pieces(bytes: Uint8Array): fc.Arbitrary<Uint8Array[]> {
  return fc.array(fc.nat(Math.min(bytes.length, 200)), { maxLength: 4 }).map((positions) => {
    const cuts = [...new Set(positions)].sort((one, other) => one - other);
    return [0, ...cuts].map((from, index) => bytes.subarray(from, cuts[index] ?? bytes.length));
  });
}

const sometimes = (...values: string[]) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom(...values) },
  );
const requestIds = sometimes("request-1", "has space", "x".repeat(129));
// Deadlines that pass before the answer have tests of their own.
const grpcTimeouts = sometimes(
  "10S",
  "60000m",
  "1H",
  "99999999H",
  "99999999S",
  "100000000S",
  "1",
  "S",
  "-1S",
  "1 S",
  "1s",
  "",
);
const connectTimeouts = sometimes("10000", "9999999999", "10000000000", "soon", "-1", "1.5", " 20000", "");

interface Sample {
  readonly over: "http1" | "http2";
  readonly protocol: "grpc" | "connect";
  readonly method: DescMethod;
  readonly request: RawRequest;
}

const unary = DownloadSessionService.methods.filter(({ methodKind }) => methodKind === "unary");

const grpcSamples: fc.Arbitrary<Sample> = fc.constantFrom(...unary).chain((method) =>
  fc
    .record({
      body: messageOf(method)
        .map((message) => toBinary(method.input, message))
        .chain((bytes) => framed(bytes).chain(pieces)),
      headers: fc.record({
        "content-type": fc.oneof(
          { weight: 6, arbitrary: fc.constantFrom("application/grpc", "application/grpc+proto") },
          {
            weight: 1,
            arbitrary: fc.constantFrom(
              "application/GRPC",
              "application/grpc; charset=utf-8",
              "application/grpc+json",
              "application/grpc+thrift",
              "application/grpc-web+proto",
              "text/plain",
            ),
          },
        ),
        te: fc.oneof(
          { weight: 5, arbitrary: fc.constant("trailers") },
          { weight: 1, arbitrary: fc.constant(undefined) },
        ),
        "grpc-encoding": sometimes("identity", "gzip", "br", "zstd", ""),
        "grpc-accept-encoding": sometimes("identity", "gzip", "gzip,br", "zstd"),
        "grpc-timeout": grpcTimeouts,
        "x-request-id": requestIds,
      }),
    })
    .map(({ body, headers }) => ({
      over: "http2" as const,
      protocol: "grpc" as const,
      method,
      request: { method: method.name, headers: defined(headers), body },
    })),
);

const connectSamples: fc.Arbitrary<Sample> = fc
  .tuple(fc.constantFrom(...unary), fc.constantFrom("http1", "http2"), fc.boolean())
  .chain(([method, over, isJson]) =>
    fc
      .record({
        body: messageOf(method)
          .map((message) =>
            isJson ? Buffer.from(toJsonString(method.input, message)) : toBinary(method.input, message),
          )
          .chain((bytes) => perhapsBroken(bytes).chain(pieces)),
        headers: fc.record({
          "content-type": fc.oneof(
            { weight: 6, arbitrary: fc.constant(isJson ? "application/json" : "application/proto") },
            {
              weight: 1,
              arbitrary: isJson
                ? fc.constantFrom(
                    "application/JSON",
                    "application/json; charset=utf-8",
                    "application/json;charset=latin1",
                  )
                : fc.constantFrom("application/Proto", "application/proto; x=y", "application/connect+proto"),
            },
          ),
          "connect-protocol-version": sometimes("1", "2", ""),
          "connect-timeout-ms": connectTimeouts,
          "content-encoding": sometimes("identity", "gzip", "zstd", ""),
          "accept-encoding": sometimes("identity", "gzip", "br, gzip", "zstd"),
          "x-request-id": requestIds,
        }),
      })
      .map(({ body, headers }) => ({
        over,
        protocol: "connect" as const,
        method,
        request: { method: method.name, headers: defined(headers) as Record<string, string>, body },
      })),
  );

const streamHeaders = fc.record({
  "content-type": fc.constantFrom("application/grpc", "application/grpc+proto"),
  te: fc.constant("trailers"),
  "grpc-encoding": sometimes("identity", "gzip"),
  "grpc-timeout": grpcTimeouts,
  "x-request-id": requestIds,
});
const streamMessages = keepAlive.map((init) =>
  toBinary(rpc.keepAliveStream.input, create(rpc.keepAliveStream.input, init)),
);
const streamSamples: fc.Arbitrary<Sample> = fc
  .record({
    body: fc
      .array(
        fc.oneof(
          { weight: 9, arbitrary: streamMessages.map((message) => envelope(message)) },
          { weight: 1, arbitrary: streamMessages.chain(framed) },
        ),
        { maxLength: 8 },
      )
      .chain((frames) => pieces(Buffer.concat(frames))),
    headers: streamHeaders,
  })
  .map(({ body, headers }) => ({
    over: "http2",
    protocol: "grpc",
    method: rpc.keepAliveStream,
    request: { method: rpc.keepAliveStream.name, headers: defined(headers), body },
  }));

/** Headers that may differ between the lanes, and why. */
const mayDiffer = [
  // The time of the answer.
  "date",
  // The fast lane does not compress answers: they are smaller than what compression adds.
  "content-encoding",
  "grpc-encoding",
  "accept-encoding",
  "grpc-accept-encoding",
  "vary",
  "content-length",
  // Framing of HTTP/1: the fast lane knows the length where Connect's runtime may not.
  "transfer-encoding",
  "connection",
  "keep-alive",
  // Compared as `status` below, whether they come as trailers or, without a message, in the only block of headers.
  "grpc-status",
  "grpc-message",
  "grpc-status-details-bin",
  "trailer",
];

/** The part of an answer that has to be the same. */
function essence({ method, protocol, request }: Sample, answer: RawAnswer) {
  const { httpStatus, headers, body, trailers } = answer;
  const all = Object.entries({ ...headers, ...trailers }).filter(
    ([name]) => !mayDiffer.includes(name) && name !== "x-request-id",
  );
  const sentId = request.headers["x-request-id"];
  // A generated id differs each time, and the fast lane generates none for a heartbeat that succeeds.
  const requestId = sentId === headers["x-request-id"] ? sentId : undefined;
  const common = { httpStatus, headers: Object.fromEntries(all), requestId };
  if (protocol === "connect") {
    return { ...common, body: decompressed(body, headers["content-encoding"]).toString("latin1") };
  }
  if (
    !String(headers["content-type"]).startsWith("application/grpc+") &&
    headers["content-type"] !== "application/grpc"
  ) {
    return { ...common, body: body.toString("latin1") };
  }
  const messages = messagesIn(body, String(headers["grpc-encoding"])).map((message) =>
    fromBinary(method.output, message),
  );
  return { ...common, messages, status: grpcEnd(answer) };
}

async function answersTo(sample: Sample): Promise<[onLane: RawAnswer, inRuntime: RawAnswer]> {
  const send = (way: Way) => way[sample.over].send(sample.request);
  return Promise.all([send(fast), send(stock)]);
}

async function expectSame(sample: Sample): Promise<void> {
  const [onLane, inRuntime] = await answersTo(sample);
  expect(essence(sample, onLane)).toEqual(essence(sample, inRuntime));
}

/**
 * A stream that fails has another message on the fast lane, which answers all requests before the bad one; Connect's
 * runtime may have read the bad one before it answers the others.
 */
async function expectSameStream(sample: Sample): Promise<void> {
  // The previous stream may have had more requests answered on one lane, and so have reached more progress.
  for (const { store } of [fast, stock]) await store.renewActive();
  const answers = await answersTo(sample);
  const [onLane, inRuntime] = answers.map((answer) => essence(sample, answer));
  const [laneCode, runtimeCode] = answers.map((answer) => grpcEnd(answer).code);
  // Connect's runtime ignores unknown flags, and a message of which only the head was sent.
  const isStricter = /unknown flags|in the middle of a message/.test(grpcEnd(answers[0]).message);
  if (laneCode === Code.InvalidArgument && isStricter) return;
  if (laneCode === 0 || runtimeCode === 0) {
    expect(onLane).toEqual(inRuntime);
    return;
  }
  const malformed = [Code.InvalidArgument, Code.Internal, Code.ResourceExhausted];
  expect(malformed).toContain(laneCode);
  expect(malformed).toContain(runtimeCode);
}

describe("the same bytes get the same answer on the fast lane and in Connect's runtime", () => {
  const runs = { numRuns: 1500 };

  test("over gRPC", { timeout: 60_000 }, async () => {
    await fc.assert(fc.asyncProperty(grpcSamples, expectSame), runs);
  });

  test("over Connect", { timeout: 60_000 }, async () => {
    await fc.assert(fc.asyncProperty(connectSamples, expectSame), runs);
  });

  test("over gRPC, on a stream", { timeout: 60_000 }, async () => {
    await fc.assert(fc.asyncProperty(streamSamples, expectSameStream), { numRuns: 500 });
  });
});
