import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type requestCallback,
  type ServiceClientConstructor,
} from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";

const root = fileURLToPath(new URL("../..", import.meta.url));
const service = "content.library.item.v1.DownloadSessionService";

/** A client of DownloadSessionService that shares no code with the server. */
export interface GrpcClient extends Disposable {
  /** Calls a method with a message in proto field names; rejects with grpc-js's ServiceError. */
  call(method: string, request: object, headers?: Record<string, string>): Promise<Record<string, unknown>>;
  close(): void;
}

// protobufjs does not understand lists of messages in option values, so buf reads the proto files for it.
const descriptors = execFileSync("node_modules/.bin/buf", ["build", "--as-file-descriptor-set", "-o", "-"], {
  cwd: root,
});
const definition = loadFileDescriptorSetFromBuffer(descriptors, {
  keepCase: true,
  longs: Number,
  enums: String,
});
const DownloadSessionClient = service
  .split(".")
  .reduce<unknown>(
    (scope, name) => (scope as Record<string, unknown>)[name],
    loadPackageDefinition(definition),
  ) as ServiceClientConstructor;

const deadlineMs = 10_000;

/** @param url `http://host:port` */
export function grpcClient(url: string): GrpcClient {
  const client = new DownloadSessionClient(new URL(url).host, credentials.createInsecure());
  const close = () => client.close();
  return {
    call: (method, request, headers = {}) =>
      new Promise((resolve, reject) => {
        const metadata = new Metadata();
        for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
        const done: requestCallback<Record<string, unknown>> = (error, reply) =>
          error === null ? resolve(reply!) : reject(error);
        unary(client, method)(request, metadata, { deadline: Date.now() + deadlineMs }, done);
      }),
    close,
    [Symbol.dispose]: close,
  };
}

type Unary = (
  request: object,
  metadata: Metadata,
  options: { readonly deadline: number },
  done: requestCallback<Record<string, unknown>>,
) => void;

function unary(client: Client, method: string): Unary {
  return (client as unknown as Record<string, Unary>)[method]!.bind(client);
}
