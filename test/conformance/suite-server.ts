import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import {
  createFileRegistry,
  createRegistry,
  type DescMethod,
  type DescService,
  type FileRegistry,
  fromBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { Admission } from "../../src/calls/admission.ts";
import type { Call } from "../../src/calls/call.ts";
import { connectionOf, type HttpRequest, type HttpResponse } from "../../src/calls/http.ts";
import { hostCheck } from "../../src/calls/known-hosts.ts";
import { CallPipeline, type Operations } from "../../src/calls/pipeline.ts";
import { firstOf, type ProtocolHandler } from "../../src/calls/protocol-handler.ts";
import { ShareHolders } from "../../src/calls/share-holders.ts";
import { requestInfoKey } from "../../src/protocols/rpc/call.ts";
import { jsonOptions } from "../../src/protocols/rpc/errors.ts";
import { rpcHandler } from "../../src/protocols/rpc/handler.ts";
import { withKnownHosts } from "../../src/server/known-hosts.ts";
import { Server, type ServerTls } from "../../src/server/server.ts";
import { Health } from "../../src/telemetry/health.ts";
import { callerNamed } from "../support/callers.ts";

/** The types of a test suite. @param path of a file that `buf build` has made */
export function readTypes(path: string): FileRegistry {
  const types = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(path)));
  // JSON needs them for what a `google.protobuf.Any` contains.
  jsonOptions.registry = createRegistry(jsonOptions.registry, types);
  return types;
}

export function serviceIn(types: FileRegistry, name: string): DescService {
  const service = types.getService(name);
  if (service === undefined) throw new Error(`there is no ${name} among the types`);
  return service;
}

export interface SuiteOptions {
  readonly fastLane: boolean;
  /** What the fast lane serves. */
  readonly operations: Operations;
  /** What Connect's runtime serves. */
  readonly routes: (router: ConnectRouter) => void;
  /** Largest request message, in bytes. */
  readonly maxMessageBytes?: number | undefined;
  readonly tls?: ServerTls | undefined;
}

/** The program's own server and RPC handler, with the service of a test suite. */
export async function startSuiteServer(options: SuiteOptions): Promise<{ port: number }> {
  const { fastLane, operations, routes, maxMessageBytes = 2 ** 24, tls } = options;
  const never = new AbortController().signal;
  const observe = () => {};
  const clientAddressOf = ({ connection }: Pick<Call, "connection">) => connection.peer;
  const strangers = new ShareHolders(10_000);
  const pipeline = new CallPipeline({
    operations,
    authenticate: () => callerNamed("anonymous"),
    admission: new Admission(10_000),
    streams: new ShareHolders(10_000),
    strangers,
    clientAddressOf,
    observe,
  });
  const rpc = rpcHandler({
    pipeline,
    fastLane,
    routes,
    health: new Health([]),
    strangers,
    clientAddressOf,
    maxBodyBytes: maxMessageBytes,
    callsMustEnd: never,
    streamsMustEnd: never,
    observe,
  });
  const hosts = { isKnownHost: hostCheck([]), pageHeaders: [] };
  const { handler, ...streams } = firstOf(withKnownHosts(hosts, [rpc, notFound]));
  const server = new Server({
    handler: (request, response) => {
      keepResponse(request, response);
      handler(request, response);
    },
    ...streams,
    host: "127.0.0.1",
    port: 0,
    tls,
  });
  return server.listen();
}

const notFound: ProtocolHandler = {
  name: "not found",
  headers: { request: [], response: [] },
  takes: () => true,
  serve: (_, response) => {
    response.writeHead(404);
    response.end();
  },
};

const responses = new WeakMap<object, ServerResponse>();

function keepResponse(request: HttpRequest, response: HttpResponse): void {
  if (!("stream" in request)) responses.set(connectionOf(request), response as ServerResponse);
}

/** The response to a call over HTTP/1; its clients have one call at a time on a connection. */
export function responseOf(call: Call): ServerResponse | undefined {
  return responses.get(call.connection);
}

/** Marks the request as readable: errors from here on are the method's own. */
export function isCall({ values }: HandlerContext): void {
  values.get(requestInfoKey).isCall = true;
}

/** @throws Error when the service has no such method */
export function methodOf<Kind extends DescMethod["methodKind"]>(
  service: DescService,
  name: string,
  kind: Kind,
): DescMethod & { methodKind: Kind } {
  const method = service.methods.find((each) => each.name === name);
  if (method?.methodKind !== kind) throw new Error(`${service.typeName} has no ${kind} method ${name}`);
  return method as DescMethod & { methodKind: Kind };
}
