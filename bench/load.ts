import { randomInt } from "node:crypto";
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { KeepAliveRequestSchema } from "../gen/content/library/item/v1/download_session_pb.ts";

/** A closed loop: `concurrency` callers, each with one heartbeat under way. */
export interface Load {
  readonly port: number;
  readonly sessionIds: readonly string[];
  readonly concurrency: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly failures: number;
  readonly seconds: number;
  /** Milliseconds, ascending. */
  readonly latencies: Float64Array;
}

/** One heartbeat; resolves to whether it was accepted. */
type Beat = () => Promise<boolean>;

export type Door = "rest" | "grpc";

/** Drives keep-alives through a door and closes its connections. */
export async function drive(door: Door, load: Load): Promise<LoadResult> {
  const { beats, close } = await (door === "rest" ? openRest(load) : openGrpc(load));
  const latencies: number[] = [];
  let failures = 0;
  const startedAt = performance.now();
  const endsAt = startedAt + load.seconds * 1000;
  await Promise.all(
    beats.map(async (beat) => {
      for (let now = performance.now(); now < endsAt; ) {
        const accepted = await beat();
        const then = performance.now();
        latencies.push(then - now);
        if (!accepted) failures++;
        now = then;
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  close();
  return { requests: latencies.length, failures, seconds, latencies: Float64Array.from(latencies).sort() };
}

/** Raw sockets: the generator must cost less than what it measures. */
async function openRest({ port, sessionIds, concurrency }: Load) {
  const body = '{"progress":10}';
  const requests = sessionIds.map((id) =>
    Buffer.from(
      `POST /rest/com/vmware/content/library/item/download-session/id:${id}?~action=keep-alive HTTP/1.1\r\n` +
        `host: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    ),
  );
  const sockets = await Promise.all(
    Array.from({ length: concurrency }, async () => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      await once(socket, "connect");
      return socket;
    }),
  );
  return {
    beats: sockets.map((socket) => restBeat(socket, requests)),
    close: () => sockets.forEach((socket) => void socket.destroy()),
  };
}

function restBeat(socket: Socket, requests: readonly Buffer[]): Beat {
  let received = "";
  let settle: (accepted: boolean) => void = () => {};
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    received += chunk;
    const end = received.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(received)?.[1] ?? 0);
    if (received.length < end + 4 + length) return;
    const accepted = received.startsWith("HTTP/1.1 200");
    received = "";
    settle(accepted);
  });
  socket.on("close", () => settle(false));
  return () =>
    new Promise((resolve) => {
      settle = resolve;
      socket.write(requests[randomInt(requests.length)]!);
    });
}

const sessionsPerRun = 4;

async function openGrpc({ port, sessionIds, concurrency }: Load) {
  const frames = sessionIds.map((downloadSessionId) => {
    const message = toBinary(
      KeepAliveRequestSchema,
      create(KeepAliveRequestSchema, { downloadSessionId, progress: 10n }),
    );
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    return frame;
  });
  const connections = Array.from({ length: sessionsPerRun }, () => connectHttp2(`http://127.0.0.1:${port}`));
  await Promise.all(connections.map((connection) => once(connection, "connect")));
  return {
    beats: Array.from({ length: concurrency }, (_, index) =>
      grpcBeat(connections[index % sessionsPerRun]!, frames),
    ),
    close: () => connections.forEach((connection) => void connection.close()),
  };
}

const grpcHeaders = {
  [constants.HTTP2_HEADER_METHOD]: "POST",
  [constants.HTTP2_HEADER_PATH]: "/content.library.item.v1.DownloadSessionService/KeepAlive",
  "content-type": "application/grpc",
  te: "trailers",
};

function grpcBeat(connection: ClientHttp2Session, frames: readonly Buffer[]): Beat {
  return () =>
    new Promise((resolve) => {
      const stream = connection.request(grpcHeaders);
      let accepted = false;
      stream.on("trailers", (trailers) => {
        accepted = trailers["grpc-status"] === "0";
      });
      stream.on("error", () => {});
      stream.on("close", () => resolve(accepted));
      stream.resume();
      stream.end(frames[randomInt(frames.length)]!);
    });
}
