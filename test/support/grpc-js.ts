import { fileURLToPath } from "node:url";
import {
  type Client,
  type ClientOptions,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
} from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer, loadSync } from "@grpc/proto-loader";

/** Fields by their proto names, int64 as texts, enums as names. */
const representation = { keepCase: true, longs: String, enums: String } as const;
const protos = [
  "content/library/item/v1/download_session.proto",
  "content/v1/library.proto",
  "grpc/health/v1/health.proto",
  "grpc/reflection/v1/reflection.proto",
  "grpc/reflection/v1alpha/reflection.proto",
];

/** The interface as grpc-js reads it from the proto files. */
export function loadInterface(): GrpcObject {
  const includeDirs = [fileURLToPath(new URL("../../proto", import.meta.url))];
  return loadPackageDefinition(loadSync(protos, { ...representation, includeDirs }));
}

/** @param descriptors a serialised google.protobuf.FileDescriptorSet */
export function grpcObjectOf(descriptors: Buffer): GrpcObject {
  return loadPackageDefinition(loadFileDescriptorSetFromBuffer(descriptors, representation));
}

// biome-ignore lint/suspicious/noExplicitAny: grpc-js adds a service's methods at run time
export type GrpcJsClient = Client & Record<string, any>;

export function grpcJsClient(
  grpcObject: GrpcObject,
  service: string,
  url: string,
  options: ClientOptions = {},
): GrpcJsClient {
  let scope: unknown = grpcObject;
  for (const name of service.split(".")) scope = (scope as Record<string, unknown>)[name];
  const Constructor = scope as new (...args: unknown[]) => GrpcJsClient;
  return new Constructor(new URL(url).host, credentials.createInsecure(), options);
}

export interface GrpcJsOutcome {
  readonly reply?: Record<string, unknown>;
  readonly code: number;
  readonly details: string;
  readonly headers: Metadata;
  readonly trailers: Metadata;
}

/** A unary call through grpc-js; resolves with the whole response for any status. */
export function grpcJsCall(
  client: GrpcJsClient,
  method: string,
  request: object,
  {
    headers = {},
    deadline = Date.now() + 10_000,
  }: { headers?: Record<string, string>; deadline?: number } = {},
): Promise<GrpcJsOutcome> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise((resolve) => {
    let reply: Record<string, unknown> | undefined;
    let received = new Metadata();
    const call = client[method](request, metadata, { deadline }, (_: unknown, value: typeof reply) => {
      reply = value;
    });
    call.on("metadata", (value: Metadata) => {
      received = value;
    });
    call.on(
      "status",
      ({ code, details, metadata: trailers }: Omit<GrpcJsOutcome, "trailers"> & { metadata: Metadata }) => {
        // The callback comes right after this event.
        setImmediate(() =>
          resolve({ code, details, headers: received, trailers, ...(reply !== undefined && { reply }) }),
        );
      },
    );
  });
}
