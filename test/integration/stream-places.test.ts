import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { KeepAliveStreamRequestSchema } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { HealthCheckRequestSchema } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflectionRequestSchema } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import { Server } from "../../src/server/server.ts";
import { callerNamed } from "../support/callers.ts";
import { eventually } from "../support/eventually.ts";
import { answerOf, begin, envelope, grpcEnd, type RawAnswer } from "../support/raw-rpc.ts";
import { lanes, type RpcService, type RpcServiceOptions, startRpcService } from "../support/rpc-service.ts";

/** The streams that are served, with a request of each. */
const streams = {
  KeepAliveStream: {
    path: "KeepAliveStream",
    request: toBinary(
      KeepAliveStreamRequestSchema,
      create(KeepAliveStreamRequestSchema, { downloadSessionId: "none" }),
    ),
  },
  "Health/Watch": {
    path: "/grpc.health.v1.Health/Watch",
    request: toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema)),
  },
  "server reflection": {
    path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    request: toBinary(
      ServerReflectionRequestSchema,
      create(ServerReflectionRequestSchema, { messageRequest: { case: "listServices", value: "" } }),
    ),
  },
} as const;
type StreamKind = keyof typeof streams;
const kinds = Object.keys(streams) as StreamKind[];

const unauthenticated = () =>
  Promise.reject(ServiceError.unauthenticated("downlease.authentication.required", "Bearer"));

describe.each(lanes)("$lane", ({ fastLane }) => {
  const opened: { destroy(): void }[] = [];
  let service: RpcService;
  afterEach(async () => {
    for (const session of opened.splice(0)) session.destroy();
    await service[Symbol.asyncDispose]();
  });
  const start = async (options: RpcServiceOptions) => {
    service = await startRpcService({ fastLane, ...options });
  };
  const newSession = (url = service.http2Url): ClientHttp2Session => {
    const session = connect(url).on("error", () => {});
    opened.push(session);
    return session;
  };
  const open = (kind: StreamKind, session = newSession(), headers: Record<string, string> = {}) =>
    begin(session, streams[kind].path, { "content-type": "application/grpc", te: "trailers", ...headers });
  /** Sends a request and waits for its answer. */
  const speak = async (kind: StreamKind, stream: ClientHttp2Stream) => {
    const answer = once(stream, "data");
    stream.write(envelope(streams[kind].request));
    // One request is all that a watch takes.
    if (kind === "Health/Watch") stream.end();
    await answer;
  };
  const openPlaces = () => service.streams.size + service.watches.size;

  describe.each(kinds)("%s", (kind) => {
    test("is refused when there are too many, and has a place again when one has ended", async () => {
      await start({ maxStreams: 2 });
      // Of two places, one is for newcomers.
      const first = open(kind);
      await speak(kind, first);
      const { code, status: details } = grpcEnd(await answerOf(open(kind)));
      expect(code).toBe(status.UNAVAILABLE);
      expect(details!.details.map(({ typeUrl }) => typeUrl)).toContain(
        "type.googleapis.com/google.rpc.RetryInfo",
      );
      expect(service.records.map(({ error }) => error?.messageId)).toContain(
        "downlease.server.too_many_streams",
      );
      first.close();
      await eventually("the place", () => openPlaces() === 0);
      await speak(kind, open(kind));
    });

    test("gives its place back however it ends", async () => {
      await start({ maxStreams: 100 });
      const ends: ((stream: ClientHttp2Stream) => void)[] = [
        (stream) => stream.end(),
        (stream) => stream.close(),
        (stream) => stream.end(Buffer.from("no message")),
        (stream) => stream.session!.destroy(),
        () => service.endStreams.abort(),
      ];
      for (const end of ends) {
        const stream = open(kind).on("error", () => {});
        stream.resume();
        if (kind !== "Health/Watch") await speak(kind, stream);
        end(stream);
        await eventually("the place", () => openPlaces() === 0);
      }
    });
  });

  test.each(["KeepAliveStream", "server reflection"] as const)(
    "%s has a time for its first request",
    async (kind) => {
      await start({ patience: { firstMs: 300, nextMs: 60_000 } });
      const session = newSession();
      const speaking = open(kind, session);
      await speak(kind, speaking);
      const silent = open(kind, session);
      expect(grpcEnd(await answerOf(silent))).toMatchObject({
        code: status.DEADLINE_EXCEEDED,
        message: "The stream has sent no request for 0.3 s. Open it again when there is one to send.",
      });
      await eventually("the end of its request", () => silent.closed);
      await speak(kind, speaking);
    },
  );

  test("only KeepAliveStream may be silent for any time between two requests", async () => {
    await start({ patience: { firstMs: 60_000, nextMs: 300 } });
    const session = newSession();
    const keepAlives = open("KeepAliveStream", session);
    await speak("KeepAliveStream", keepAlives);
    const reflection = open("server reflection", session);
    await speak("server reflection", reflection);
    const [trailers] = await once(reflection, "trailers");
    expect(trailers["grpc-status"]).toBe(String(status.DEADLINE_EXCEEDED));
    await speak("KeepAliveStream", keepAlives);
  });

  test.each(["application/grpc", "application/grpc-web+proto", "application/connect+proto"])(
    "KeepAliveStream of a stranger is refused before it sends a request, %s",
    async (type) => {
      await start({ authenticate: unauthenticated });
      const stream = open("KeepAliveStream", newSession(), { "content-type": type });
      const answer = await answerOf(stream);
      expect(answer.body.toString("latin1") + JSON.stringify([answer.headers, answer.trailers])).toMatch(
        /"grpc-status":"16"|grpc-status: 16|"code":"unauthenticated"/,
      );
      expect(service.records).toMatchObject([
        { operation: "DownloadSession.KeepAliveStream", outcome: "unauthenticated" },
      ]);
      expect(openPlaces()).toBe(0);
    },
  );

  test("a connection has more streams once a caller on it is authenticated", async () => {
    await start({
      authenticate: ({ credentials }) =>
        credentials.authorization ? callerNamed("alice") : unauthenticated(),
    });
    const server = new Server({ ...service.rpc, host: "127.0.0.1", port: 0 });
    const { port } = await server.listen();
    const session = newSession(`http://127.0.0.1:${port}`);
    await once(session, "remoteSettings");
    expect(session.remoteSettings.maxConcurrentStreams).toBe(100);
    const refused: RawAnswer = await answerOf(open("KeepAliveStream", session));
    expect(grpcEnd(refused).code).toBe(status.UNAUTHENTICATED);
    await speak("Health/Watch", open("Health/Watch", session));
    expect(session.remoteSettings.maxConcurrentStreams).toBe(100);
    await speak("KeepAliveStream", open("KeepAliveStream", session, { authorization: "Bearer token" }));
    await eventually("more streams", () => session.remoteSettings.maxConcurrentStreams === 1000);
    await server.close(AbortSignal.abort());
  });
});
