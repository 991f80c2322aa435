import { create, toBinary } from "@bufbuild/protobuf";
import {
  BatchKeepAliveRequestSchema,
  KeepAliveRequestSchema,
  KeepAliveStreamRequestSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { type Driver, type DriverCall, type Header, type Outcome, progress, randomOf } from "./driver.ts";
import { Http2Connection, type StreamListener } from "./http2-connection.ts";
import { type MessageReader, readMessages, resultsOutcome } from "./messages.ts";

const servicePath = "/content.library.item.v1.DownloadSessionService";
/** Few connections, as behind a load balancer that multiplexes the calls of many clients. */
const callersPerConnection = 25;
const callersPerStream = 25;
const unavailable = "14";
const refusedStream = 7;

export const grpc: Driver = {
  name: "grpc",
  heartbeats: 1,
  async open({ port, sessionIds, callers, headers }) {
    const messageOf = (id: string) =>
      frameOf(toBinary(KeepAliveRequestSchema, create(KeepAliveRequestSchema, keepAlive(id))));
    const connections = await openConnections(port, "KeepAlive", callers, headers);
    return {
      calls: unaryCalls(connections, callers, randomMessage(sessionIds, messageOf)),
      close: () => connections.forEach((connection) => void connection.close()),
    };
  },
};

const batchSize = 100;
const preparedBatches = 200;

export const grpcBatch: Driver = {
  name: "grpc-batch",
  heartbeats: batchSize,
  async open({ port, sessionIds, callers, headers }) {
    const messages = Array.from({ length: preparedBatches }, () => {
      const keepAlives = Array.from({ length: batchSize }, () => keepAlive(randomOf(sessionIds)));
      return frameOf(
        toBinary(BatchKeepAliveRequestSchema, create(BatchKeepAliveRequestSchema, { keepAlives })),
      );
    });
    const connections = await openConnections(port, "BatchKeepAlive", callers, headers);
    const calls = unaryCalls(
      connections,
      callers,
      () => randomOf(messages),
      (message) => resultsOutcome(message, batchSize),
    );
    return { calls, close: () => connections.forEach((connection) => void connection.close()) };
  },
};

/** Callers share streams; the answers on a stream are in the order of its requests. */
export const grpcStream: Driver = {
  name: "grpc-stream",
  heartbeats: 1,
  async open({ port, sessionIds, callers, headers }) {
    const messages = sessionIds.map((id) =>
      frameOf(toBinary(KeepAliveStreamRequestSchema, create(KeepAliveStreamRequestSchema, keepAlive(id)))),
    );
    const connections = await openConnections(port, "KeepAliveStream", callers, headers);
    const streams = Array.from({ length: Math.ceil(callers / callersPerStream) }, (_, index) =>
      heartbeatStream(connections[index % connections.length]!, () => randomOf(messages)),
    );
    return {
      calls: Array.from({ length: callers }, (_, index) => streams[index % streams.length]!),
      close: () => connections.forEach((connection) => void connection.close()),
    };
  },
};

function openConnections(
  port: number,
  method: string,
  callers: number,
  headers: readonly Header[] | undefined,
): Promise<Http2Connection[]> {
  const count = Math.ceil(callers / callersPerConnection);
  return Promise.all(
    Array.from({ length: count }, () => Http2Connection.open(port, `${servicePath}/${method}`, headers)),
  );
}

function unaryCalls(
  connections: readonly Http2Connection[],
  callers: number,
  nextMessage: () => Buffer,
  outcomeOf?: (message: Buffer) => Outcome,
): DriverCall[] {
  return Array.from({ length: callers }, (_, index) => {
    const connection = connections[index % connections.length]!;
    return () =>
      new Promise((resolve, reject) => {
        const id = connection.request(new UnaryAnswer(resolve, reject, outcomeOf));
        connection.send(id, nextMessage(), true);
      });
  });
}

/** Accepted when one message has arrived and the status is 0. */
class UnaryAnswer implements StreamListener {
  readonly #resolve: (outcome: Outcome) => void;
  readonly fail: (error: Error) => void;
  readonly #outcomeOf: ((message: Buffer) => Outcome) | undefined;
  #reader: MessageReader | undefined;
  #outcome: Outcome = "failed";

  constructor(
    resolve: (outcome: Outcome) => void,
    reject: (error: Error) => void,
    outcomeOf: ((message: Buffer) => Outcome) | undefined,
  ) {
    this.#resolve = resolve;
    this.fail = reject;
    this.#outcomeOf = outcomeOf;
  }

  data(chunk: Buffer): void {
    this.#reader ??= readMessages((message) => {
      this.#outcome = this.#outcomeOf?.(message) ?? "accepted";
    });
    this.#reader(chunk);
  }

  end(status: string | undefined, resetCode: number | undefined): void {
    this.#resolve(status === "0" ? this.#outcome : refusal(status, resetCode));
  }
}

function heartbeatStream(connection: Http2Connection, nextMessage: () => Buffer): DriverCall {
  const waiting: { resolve(outcome: Outcome): void; reject(error: Error): void }[] = [];
  let ended: Error | undefined;
  const id = connection.request({
    data: readMessages((message) => waiting.shift()?.resolve(resultsOutcome(message, 1))),
    end(status, resetCode) {
      ended = new Error(`the stream ended with status ${status}`);
      for (const { resolve } of waiting.splice(0)) resolve(refusal(status, resetCode));
    },
    fail(error) {
      ended = error;
      for (const { reject } of waiting.splice(0)) reject(error);
    },
  });
  return () =>
    new Promise((resolve, reject) => {
      if (ended !== undefined) return reject(ended);
      waiting.push({ resolve, reject });
      connection.send(id, nextMessage(), false);
    });
}

function refusal(status: string | undefined, resetCode: number | undefined): Outcome {
  return status === unavailable || resetCode === refusedStream ? "unavailable" : "failed";
}

/** Messages are made when they are sent first: of a million sessions some are never called. */
function randomMessage(sessionIds: readonly string[], messageOf: (id: string) => Buffer): () => Buffer {
  const messages: (Buffer | undefined)[] = Array(sessionIds.length);
  return () => {
    const index = Math.floor(Math.random() * sessionIds.length);
    messages[index] ??= messageOf(sessionIds[index]!);
    return messages[index];
  };
}

function keepAlive(downloadSessionId: string) {
  return { downloadSessionId, progress: BigInt(progress) };
}

/** A gRPC message with its prefix. */
export function frameOf(message: Uint8Array): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, 5);
  return bytes;
}
