import type { IncomingHttpHeaders } from "node:http";
import { Code, ConnectError, createContextKey, type HandlerContext } from "@connectrpc/connect";
import { abort, type Call, type Protocol } from "../../calls/call.ts";
import { Connection } from "../../calls/connection.ts";
import { type Credentials, HeaderCredentials } from "../../calls/credentials.ts";
import type { ServerStream } from "../../calls/pipeline.ts";
import { type ErrorMessageId, ServiceError } from "../../domain/errors.ts";

/** What Connect's own context lacks about the request of a call. */
export interface RequestInfo {
  readonly requestId: string;
  readonly connection: Connection;
  readonly credentials: Credentials;
  readonly headers: IncomingHttpHeaders;
  /** Whether the request was readable and has become a call, or its refusal is recorded already. */
  isCall: boolean;
  /** A stream of answers, from before its request is read. */
  stream?: ServerStream | undefined;
}

export const requestInfoKey = createContextKey<RequestInfo>({
  requestId: "",
  connection: new Connection(""),
  credentials: new HeaderCredentials({}),
  headers: {},
  isCall: false,
});

/** The protocol of a name that Connect's runtime or a content type uses. */
export function protocolByName(name: string | undefined): "grpc" | "grpc_web" | "connect" {
  if (name === "grpc-web") return "grpc_web";
  return name === "grpc" ? "grpc" : "connect";
}

/** A call as the pipeline sees it; reads Connect's context lazily. */
export class RpcCall implements Call {
  abortedWith: ErrorMessageId | undefined = undefined;
  onAbort: ((reason: ErrorMessageId) => void) | undefined = undefined;
  readonly #context: HandlerContext;
  readonly #info: RequestInfo;

  /** @param isRead whether its request has been read */
  constructor(context: HandlerContext, isRead = true) {
    this.#context = context;
    this.#info = context.values.get(requestInfoKey);
    this.#info.isCall = isRead;
    const { signal } = context;
    const onAbort = () => abort(this, reasonOf(signal.reason));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  }

  get protocol(): Protocol {
    return protocolByName(this.#context.protocolName);
  }

  get requestId(): string {
    return this.#info.requestId;
  }

  get connection(): Connection {
    return this.#info.connection;
  }

  get credentials(): Credentials {
    return this.#info.credentials;
  }

  get headers(): IncomingHttpHeaders {
    return this.#info.headers;
  }
}

/** Connect aborts with the reason of the shutdown signal, with an error of its own, or without a reason. */
function reasonOf(reason: unknown): ErrorMessageId {
  if (reason instanceof ServiceError) return reason.messageId;
  const isDeadline = reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
  return isDeadline ? "downlease.call.timed_out" : "downlease.call.canceled";
}
