import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "../deploy/package/build.ts";
import { keepAliveScript } from "../src/stores/redis/session-scripts.ts";
import { goPeer } from "./peers/go.ts";

/** A server that is measured, in its own processes. */
export interface Contender {
  readonly name: string;
  /**
   * Path of its program, which it builds when there is none; by default Node.js.
   *
   * @throws NeedMissing
   */
  executable?(): string;
  /** Arguments to listen on a port. */
  args(port: number, redisUrl: string): readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

const main = path("../src/main.ts");

const service = (name: string, ...flags: string[]): Contender => ({
  name,
  args: (port, redisUrl) => [main, "serve", "--port", String(port), "--redis-url", redisUrl, ...flags],
});

const peer = (name: string, file: string, ...flags: string[]): Contender => ({
  name,
  args: (port) => [path(`peers/${file}`), String(port), ...flags],
});

const inGo = (name: string, protocol: "rest" | "grpc"): Contender => ({
  name,
  executable: goPeer,
  args: (port, redisUrl) => [protocol, String(port), redisUrl, keepAliveScript.text],
});

export const downlease = service("downlease");
/** Bounded so that some of 1,000 callers are turned away, which is what overload measures. */
export const downleaseBounded = service("downlease, at most 500 calls", "--max-calls", "500");
/** Requires authentication; see `credentials.ts`. */
export const downleaseWithLogin = service("downlease, login session", "--users-file", path("users"));
/** The packaged JavaScript, because stripping types takes memory. With its own content directory. */
export const downleaseServing = (contentRoot: string, ...flags: string[]): Contender => ({
  name: "downlease",
  args: (port, redisUrl) => [
    ...[packedMain(), "serve", "--port", String(port), "--content-root", contentRoot],
    ...(flags.includes("--sqlite-path") ? flags : ["--redis-url", redisUrl, ...flags]),
  ],
});
/** The packaged JavaScript, with content in object storage. */
export const downleaseServingObjects = (
  endpoint: string,
  bucket: string,
  ...more: readonly string[]
): Contender => ({
  name: "downlease",
  args: (port, redisUrl) => [
    ...[packedMain(), "serve", "--port", String(port), "--redis-url", redisUrl],
    ...["--s3-endpoint", endpoint, "--s3-bucket", bucket, ...more],
  ],
  // The storage checks no signatures.
  environment: { AWS_ACCESS_KEY_ID: "bench", AWS_SECRET_ACCESS_KEY: "bench" },
});
export const downleaseWithTwoWorkers = service("downlease, 2 workers", "--workers", "2");
export const nodeHttp = peer("bare node:http", "node-http.ts");
export const nodeHttpOurRedis = peer("bare node:http, our Redis connection", "node-http.ts", "--our-redis");
export const nodeHttp2 = peer("bare node:http2", "node-http2.ts");
export const nodeHttp2OurRedis = peer(
  "bare node:http2, our Redis connection",
  "node-http2.ts",
  "--our-redis",
);
export const fastify = peer("Fastify", "fastify.ts");
export const grpcJs = peer("grpc-js", "grpc-js.ts");
export const connectHttp1 = peer("connect-node", "connect-node.ts", "--http1");
export const connectHttp2 = peer("connect-node", "connect-node.ts");
export const goHttp = inGo("Go, net/http", "rest");
export const goGrpc = inGo("Go, grpc-go", "grpc");
export const nodeHttpFile = (file: string) => peer("bare node:http, file", "node-http-file.ts", file);

let packed: string | undefined;

/** Entry point of the package, which is built once per run. */
function packedMain(): string {
  if (packed === undefined) {
    // Below node_modules, so that imports resolve to the packages of the checkout.
    const directory = path("../node_modules/.cache/bench");
    build(directory);
    packed = join(directory, "src/main.js");
  }
  return packed;
}
