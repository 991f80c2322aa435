import { once } from "node:events";
import { request as http1Request } from "node:http";
import { type ClientHttp2Session, connect } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  AdminService,
  SettingsSchema,
  WatchSettingsRequestSchema,
  WatchSettingsResponseSchema,
} from "../../gen/downlease/admin/v1/admin_pb.ts";
import { sharedEncoder } from "../../src/calls/encoder.ts";
import { type Authenticate, type StreamEnd, serverStreamOperation } from "../../src/calls/pipeline.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import { callerNamed } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { begin, envelope, grpcHeaders } from "../support/raw-rpc.ts";
import { lanes, type RpcService, startRpcService } from "../support/rpc-service.ts";

const method = AdminService.method.watchSettings;
const path = `/${AdminService.typeName}/${method.name}`;
const request = toBinary(WatchSettingsRequestSchema, create(WatchSettingsRequestSchema));

/** The operation of these tests: it answers with what the test pushes. */
let waiting: (bigint | Error)[];
let wake: () => void;
let opened: StreamEnd[];
let administrate: Authenticate;
const push = (...answers: (bigint | Error)[]) => {
  waiting.push(...answers);
  wake();
};
const row = serverStreamOperation({
  method,
  isAdministration: true,
  encode: sharedEncoder(WatchSettingsResponseSchema),
  async *answers(_request, _caller, stream) {
    opened.push(stream);
    const over = new Promise<void>((resolve) => stream.over.addEventListener("abort", () => resolve()));
    while (!stream.over.aborted) {
      const next = waiting.shift();
      if (next instanceof Error) throw next;
      if (next === 0n) return;
      if (next !== undefined) {
        // A large one says so by its name.
        const description = next === 99n ? "x".repeat(1_000_000) : "";
        const settings = create(SettingsSchema, { version: next, settings: [{ description }] });
        yield create(WatchSettingsResponseSchema, { settings });
      } else {
        await Promise.race([over, new Promise<void>((resolve) => (wake = resolve))]);
      }
    }
  },
});

const transports: Record<string, (service: RpcService) => Transport> = {
  gRPC: ({ http2Url: baseUrl }) => createGrpcTransport({ baseUrl }),
  "Connect over HTTP/2": ({ http2Url: baseUrl }) => createConnectTransport({ baseUrl, httpVersion: "2" }),
  "Connect in a browser": ({ http1Url: baseUrl }) => web.createConnectTransport({ baseUrl }),
  "gRPC-Web in a browser": ({ http1Url: baseUrl }) => web.createGrpcWebTransport({ baseUrl }),
};

describe.each(lanes)("$lane", ({ fastLane }) => {
  let service: RpcService;
  let session: ClientHttp2Session | undefined;
  beforeEach(async () => {
    [waiting, opened, wake] = [[], [], () => {}];
    administrate = () => callerNamed("root", "admin");
    service = await startRpcService({
      fastLane,
      maxStreams: 5,
      serverStreams: [row],
      administrate: (call) => administrate(call),
    });
  });
  afterEach(async () => {
    session?.destroy();
    session = undefined;
    await service[Symbol.asyncDispose]();
  });

  /** Reads a stream in the background. */
  function watch(name = "gRPC", options: { timeoutMs?: number; signal?: AbortSignal } = {}) {
    const client = createClient(AdminService, transports[name]!(service));
    const read = { versions: [] as bigint[], end: undefined as ConnectError | "ok" | undefined };
    void (async () => {
      try {
        for await (const { settings } of client.watchSettings({}, options))
          read.versions.push(settings!.version);
        read.end = "ok";
      } catch (error) {
        read.end = ConnectError.from(error);
      }
    })();
    const until = (...versions: bigint[]) =>
      eventually(`${versions}`, () => read.versions.join() === versions.join());
    const failed = () =>
      eventually("the end", () => (read.end instanceof ConnectError ? read.end : undefined));
    return { read, until, failed };
  }
  const recorded = () => service.records.map(({ operation, outcome }) => `${operation} ${outcome}`);
  const isEmpty = () => eventually("no place taken", () => service.streams.size + service.watches.size === 0);

  describe.each(Object.keys(transports))("%s", (name) => {
    test("sends each answer when it is there, and ends well", async () => {
      const { read, until } = watch(name);
      push(1n);
      await until(1n);
      push(2n, 3n);
      await until(1n, 2n, 3n);
      push(0n);
      await eventually("the end", () => read.end === "ok");
      await isEmpty();
      expect(recorded()).toEqual(["Admin.WatchSettings ok"]);
    });

    test("refuses who has no right to it before anything else, and the operation never begins", async () => {
      administrate = async () => {
        throw new ServiceError("downlease.admin.role");
      };
      const { read, failed } = watch(name);
      expect((await failed()).code).toBe(Code.PermissionDenied);
      expect([read.versions, opened]).toEqual([[], []]);
      expect(recorded()).toEqual(["Admin.WatchSettings unauthorized"]);
      await isEmpty();
    });

    test("ends with the operation's error, with the server, and at the deadline", async () => {
      const failing = watch(name);
      push(1n);
      await failing.until(1n);
      push(new ServiceError("downlease.watch.slow"));
      expect((await failing.failed()).code).toBe(Code.ResourceExhausted);
      expect((await watch(name, { timeoutMs: 100 }).failed()).code).toBe(Code.DeadlineExceeded);
      await isEmpty();
      const stopped = watch(name);
      push(2n);
      await stopped.until(2n);
      service.endStreams.abort();
      const end = await stopped.failed();
      expect([end.code, end.rawMessage]).toEqual([
        Code.Unavailable,
        "The server is shutting down. Try again.",
      ]);
      expect(opened.map(({ over }) => over.aborted)).toEqual([true, true, true]);
      await isEmpty();
      await eventually("three records", () => service.records.length === 3);
      expect(recorded()).toEqual([
        "Admin.WatchSettings unable_to_allocate_resource",
        // The caller's own clock may be the first to notice.
        expect.stringMatching("timed_out|canceled"),
        "Admin.WatchSettings service_unavailable",
      ]);
    });

    test("ends when its caller leaves", async () => {
      const caller = new AbortController();
      const { until } = watch(name, { signal: caller.signal });
      push(1n);
      await until(1n);
      caller.abort();
      await eventually("the end of the operation", () => opened[0]?.over.aborted);
      await isEmpty();
      await eventually("the record", () => service.records.length === 1);
      expect(recorded()).toEqual(["Admin.WatchSettings canceled"]);
    });
  });

  // Neither lane has a part in it, and it takes its time.
  if (fastLane) {
    test("ends with the credentials of its caller, but not while the store is silent", async () => {
      const { read, until, failed } = watch();
      push(1n);
      await until(1n);
      administrate = () => Promise.reject(new ServiceError("downlease.store.unavailable"));
      await delay(1_050);
      push(2n);
      await until(1n, 2n);
      administrate = () => {
        throw ServiceError.unauthenticated("downlease.authentication.expired", undefined);
      };
      await delay(1_050);
      push(3n);
      expect((await failed()).code).toBe(Code.Unauthenticated);
      expect(read.versions).toEqual([1n, 2n]);
      await isEmpty();
    });
  }

  test("has a place among the streams of its caller", async () => {
    const first = watch();
    push(1n);
    await first.until(1n);
    const others = ["gRPC", "Connect over HTTP/2", "gRPC", "Connect over HTTP/2"].map((name) => watch(name));
    const refused = await eventually("a refusal", () =>
      others.map(({ read }) => read.end).find((end) => end instanceof ConnectError),
    );
    expect([refused.code, refused.rawMessage]).toEqual([
      Code.Unavailable,
      expect.stringContaining("too many open streams"),
    ]);
  });

  test("is ended by the operation also while its caller takes nothing, who then reads why", async () => {
    session = connect(service.http2Url);
    const stream = begin(session, path, grpcHeaders);
    stream.end(envelope(request));
    push(99n, 99n, 99n);
    await once(stream, "response");
    await delay(100);
    opened[0]!.end(new ServiceError("downlease.watch.slow"));
    expect(opened[0]!.over.aborted).toBe(true);
    await isEmpty();
    expect(recorded()).toEqual(["Admin.WatchSettings unable_to_allocate_resource"]);
    stream.resume();
    const [trailers] = await once(stream, "trailers");
    expect(trailers["grpc-status"]).toBe(String(Code.ResourceExhausted));
    expect(service.records).toHaveLength(1);
  });

  test.each([
    ["none", Buffer.alloc(0)],
    ["half a", envelope(request).subarray(0, 3)],
    ["no", Buffer.concat([Buffer.from([0, 0, 0, 0, 2]), Buffer.from([0xff, 0xff])])],
  ])("gives its place back after %s message", async (_, body) => {
    session = connect(service.http2Url);
    const stream = begin(session, path, grpcHeaders);
    stream.end(body);
    const [headers] = await once(stream, "response");
    stream.resume();
    await once(stream, "close");
    expect(Number(headers["grpc-status"] ?? Code.InvalidArgument)).not.toBe(0);
    await isEmpty();
    await eventually("the record", () => service.records.length === 1);
    expect([opened.length, service.records[0]!.outcome]).toEqual([
      0,
      expect.not.stringMatching("ok|internal"),
    ]);
  });

  test("ends with the side of its caller over HTTP/1.1", async () => {
    const call = http1Request(`${service.http1Url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/connect+proto" },
    });
    call.end(envelope(request));
    push(1n);
    const [response] = await once(call, "response");
    await once(response, "data");
    call.destroy();
    await eventually("the end of the operation", () => opened[0]?.over.aborted);
    await isEmpty();
  });
});
