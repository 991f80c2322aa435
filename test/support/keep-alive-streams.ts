import { create, createRegistry } from "@bufbuild/protobuf";
import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { Metadata } from "@grpc/grpc-js";
import {
  DownloadSessionService,
  KeepAliveResultSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { grpcJsClient, loadInterface } from "./grpc-js.ts";
import { serviceName } from "./rpc-service.ts";

export interface Beat {
  readonly downloadSessionId: string;
  readonly progress?: bigint;
}

/** An answer in short. */
export interface Answered {
  readonly id: string;
  /** Undefined when refused. */
  readonly progress?: number;
  /** Code of the refusal. */
  readonly refusedWith?: number;
}

/** How a stream ended; 0 is OK. */
export interface StreamEnd {
  readonly code: number;
  readonly message: string;
}

/** Sends keep-alives on one stream as the iterable yields them and passes on each answer; resolves at the end. */
export type KeepAliveStream = (
  url: string,
  beats: AsyncIterable<Beat>,
  onAnswer: (answer: Answered) => void,
) => Promise<StreamEnd>;

function throughConnectEs(transportOf: (baseUrl: string) => Transport): KeepAliveStream {
  return async (url, beats, onAnswer) => {
    const client = createClient(DownloadSessionService, transportOf(url));
    try {
      for await (const { result } of client.keepAliveStream(beats)) {
        const { downloadSessionId: id, error, clientProgress } = result ?? create(KeepAliveResultSchema);
        onAnswer(
          error === undefined ? { id, progress: Number(clientProgress) } : { id, refusedWith: error.code },
        );
      }
      return { code: 0, message: "" };
    } catch (reason) {
      const { code, rawMessage } = ConnectError.from(reason);
      return { code, message: rawMessage };
    }
  };
}

interface GrpcJsResult {
  /** grpc-js leaves out what has its default value. */
  readonly download_session_id?: string;
  readonly client_progress?: string;
  readonly error?: { readonly code: number } | null;
}

const grpcInterface = loadInterface();

const throughGrpcJs: KeepAliveStream = async (url, beats, onAnswer) => {
  const client = grpcJsClient(grpcInterface, serviceName, url);
  const stream = client.KeepAliveStream(new Metadata());
  stream.on("data", ({ result }: { result: GrpcJsResult }) => {
    const { download_session_id: id = "", client_progress: progress = "0", error } = result;
    onAnswer(error ? { id, refusedWith: error.code } : { id, progress: Number(progress) });
  });
  stream.on("error", () => {});
  const ended = new Promise<StreamEnd>((resolve) =>
    stream.on("status", ({ code, details }: { code: number; details: string }) =>
      resolve({ code, message: details }),
    ),
  );
  for await (const { downloadSessionId, progress } of beats) {
    stream.write({
      download_session_id: downloadSessionId,
      ...(progress !== undefined && { progress: String(progress) }),
    });
  }
  stream.end();
  const end = await ended;
  client.close();
  return end;
};

/** Every client that can hold a stream in both directions. */
export const keepAliveStreams: Readonly<Record<string, KeepAliveStream>> = {
  "gRPC, grpc-js": throughGrpcJs,
  "gRPC, Connect-ES": throughConnectEs((baseUrl) => createGrpcTransport({ baseUrl })),
  "Connect proto": throughConnectEs((baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: true }),
  ),
  "Connect JSON": throughConnectEs((baseUrl) =>
    createConnectTransport({
      baseUrl,
      httpVersion: "2",
      useBinaryFormat: false,
      jsonOptions: { registry: createRegistry(ErrorInfoSchema) },
    }),
  ),
};
