import { type ConnectRouterOptions, createConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import type { HttpRequest } from "../../calls/http.ts";
import { ServiceError } from "../../domain/errors.ts";
import { connectErrorOf } from "./errors.ts";
import { mediaTypeOf } from "./media-type.ts";

/** Content types of RPC clients only. Connect's `application/json` is not among them: REST clients use it too. */
const rpcContentType = /^application\/(?:grpc|proto$|connect\+)/i;
const maxPathLength = 200;

/**
 * Finds the handler for requests that are certainly RPCs but name no method of this server: it answers UNIMPLEMENTED
 * in the protocol of the request, without reading the body. Undefined for other requests.
 */
export function unimplementedHandlers(
  options: ConnectRouterOptions,
  services: ReadonlySet<string>,
): (request: HttpRequest, path: string) => UniversalHandler | undefined {
  // Any service with a unary and a streaming method would do: the gate refuses every request.
  const { handlers } = createConnectRouter({ ...options, requestGate: refuse }).service(Health, {});
  const unary = handlers.find(({ method }) => method === Health.method.check);
  const streaming = handlers.find(({ method }) => method === Health.method.watch);
  return ({ method, headers }, path) => {
    const mediaType = mediaTypeOf(headers["content-type"]);
    const end = path.indexOf("/", 1);
    const namesMethod = method === "POST" && end === path.lastIndexOf("/");
    const isOfServedService = namesMethod && services.has(path.slice(1, end));
    if (!isOfServedService && !rpcContentType.test(mediaType)) return undefined;
    return /^application\/connect\+/i.test(mediaType) ? streaming : unary;
  };
}

function refuse({ requestMethod, url }: { requestMethod: string; url: string }): never {
  const path = new URL(url).pathname.slice(0, maxPathLength);
  throw connectErrorOf(new ServiceError("downlease.operation.not_found", [requestMethod, path]));
}
