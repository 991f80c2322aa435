import { create, type Message } from "@bufbuild/protobuf";
import { LocalizableMessageSchema } from "../../../../gen/vapi/v1/localizable_message_pb.ts";
import { abort, type CallObserver, type CallOrigin, HttpCall, requestIdFrom } from "../../../calls/call.ts";
import type { Connection } from "../../../calls/connection.ts";
import type { Credentials } from "../../../calls/credentials.ts";
import { connectionOf, discardBody, type HttpRequest, type HttpResponse } from "../../../calls/http.ts";
import { asServiceError, type CallPipeline } from "../../../calls/pipeline.ts";
import { callHeaders, type ProtocolHandler } from "../../../calls/protocol-handler.ts";
import { headersOf } from "../../../calls/status.ts";
import { vapiErrorName } from "../../../calls/vapi-error.ts";
import { ServiceError } from "../../../domain/errors.ts";
import { bindInto } from "../binder.ts";
import { type Binding, bindingsOf, type MessageMapping } from "../bindings.ts";
import { readBody } from "../body.ts";
import { encodeJson } from "../codecs/json.ts";
import { messageEncoderOf } from "../encoder.ts";
import { dataValueNotation } from "../notation.ts";
import type { Tree, TreeObject } from "../tree.ts";
import { type Invocation, ProtocolError, type RequestId, readInvocation } from "./request.ts";
import { credentialsOf } from "./security-context.ts";

export interface JsonRpcOptions {
  readonly pipeline: CallPipeline;
  /** Largest request body, in bytes. */
  readonly maxBodyBytes: number;
  /** Alternating names and values, for every response; see `pageHeaders`. */
  readonly pageHeaders?: readonly string[] | undefined;
  /** Called for requests that never reach an operation; the pipeline calls it for the others. */
  readonly observe: CallObserver;
}

interface JsonRpcOperation {
  readonly binding: Binding;
  readonly mapping: MessageMapping;
}

/** By service id, then by operation id. */
type Services = ReadonlyMap<string, ReadonlyMap<string, JsonRpcOperation>>;

const { optional } = dataValueNotation;
const encodeMessage = messageEncoderOf(LocalizableMessageSchema, dataValueNotation);

/** JSON-RPC is served on this path itself, the REST dialect `/api` below it. */
const endpoint = "/api";

/**
 * vAPI's JSON-RPC 2.0, which VMware's own SDKs speak: every operation with a `vapi.v1.operation` option. Every response
 * has HTTP status 200. Errors of an operation are results; a request that does not invoke one is a JSON-RPC error.
 *
 * @throws BindingError, UnsupportedFieldError when the options of the descriptors contradict themselves
 */
export function jsonRpcHandler(options: JsonRpcOptions): ProtocolHandler {
  const services = new Map<string, Map<string, JsonRpcOperation>>();
  for (const binding of bindingsOf(options.pipeline)) {
    const operations = services.get(binding.serviceId) ?? new Map<string, JsonRpcOperation>();
    services.set(binding.serviceId, operations);
    operations.set(binding.operationId, { binding, mapping: binding.mappingFor(dataValueNotation) });
  }
  return {
    name: "json-rpc",
    headers: {
      request: [...callHeaders.request, "Vapi-Service", "Vapi-Operation", "Vapi-Ctx-OpId"],
      response: [...callHeaders.response, "Vapi-Error"],
    },
    takes: ({ method }, path) => method === "POST" && path === endpoint,
    serve: (request, response) => void serve(request, response, services, options),
  };
}

async function serve(
  request: HttpRequest,
  response: HttpResponse,
  services: Services,
  { maxBodyBytes, pageHeaders = [], observe }: JsonRpcOptions,
): Promise<void> {
  const write = writerOf(response, connectionOf(request), pageHeaders);
  const startedAt = performance.now();
  const recordFailure = (call: CallOrigin, error: ServiceError, target = `POST ${endpoint}`) =>
    observe({
      call,
      operation: "unknown",
      target,
      outcome: error.kind,
      durationMs: performance.now() - startedAt,
      error,
    });
  let invocation: Invocation;
  try {
    invocation = readInvocation(await readBody(request, maxBodyBytes), request.headers);
  } catch (reason) {
    const requestId = requestIdFrom(request.headers["x-request-id"]);
    const { headers } = request;
    const call: CallOrigin = { protocol: "json_rpc", requestId, connection: connectionOf(request), headers };
    const { id, code, message } = protocolErrorOf(reason, call);
    recordFailure(
      call,
      reason instanceof ProtocolError
        ? new ServiceError("downlease.request.malformed", [message])
        : asServiceError(reason, call),
    );
    write(requestId, { jsonrpc: "2.0", id, error: { code, message } });
    discardBody(request);
    return;
  }
  const { id, serviceId, operationId } = invocation;
  const call = new JsonRpcCall(request, invocation);
  const operation = services.get(serviceId)?.get(operationId);
  if (operation === undefined) {
    const error = services.has(serviceId)
      ? new ServiceError("vapi.method.input.invalid.method", [serviceId, operationId])
      : new ServiceError("vapi.method.input.invalid.interface", [serviceId]);
    recordFailure(call, error, `${serviceId} ${operationId}`);
    refuse(write, call, id, error);
    return;
  }
  const { binding, mapping } = operation;
  response.once("close", () => {
    if (!response.writableEnded) abort(call, "downlease.call.canceled");
  });
  try {
    const answer = await binding.run(() => bind(mapping, invocation.input), call);
    const output = mapping.result?.(answer) ?? null;
    const requestId = call.returnsRequestId(binding.isRoutine) ? call.requestId : undefined;
    write(requestId, { jsonrpc: "2.0", id, result: { output } });
  } catch (reason) {
    refuse(write, call, id, asServiceError(reason, call));
  }
}

const inputId = "operation-input";

function bind({ request: plan }: MessageMapping, input: Tree): Message {
  const members = dataValueNotation.readStructure(input, inputId);
  if (members === undefined)
    throw new ServiceError("vapi.method.input.invalid", ["input", `a structure '${inputId}'`]);
  const request = create(plan.desc);
  bindInto(request, plan, members, false, inputId);
  return request;
}

function protocolErrorOf(reason: unknown, call: CallOrigin): ProtocolError {
  if (reason instanceof ProtocolError) return reason;
  const error = asServiceError(reason, call);
  const isInternal = error.kind === "internal_server_error";
  return new ProtocolError(isInternal ? "internalError" : "invalidRequest", error.message);
}

/** Answers with an error of an operation, which is a result in JSON-RPC. */
function refuse(write: Write, { requestId }: JsonRpcCall, id: RequestId, error: ServiceError): void {
  const name = vapiErrorName(error);
  const { messageId, message, args } = error;
  const messages = [
    encodeMessage(
      create(LocalizableMessageSchema, { id: messageId, defaultMessage: message, args: [...args] }),
    ),
  ];
  const value = {
    messages,
    data: optional(undefined)!,
    error_type: optional(error.vapiType)!,
    ...(error.kind === "unauthenticated" && { challenge: optional(error.challenge)! }),
  };
  const headers = [...Object.entries(headersOf(error)).flat(), "vapi-error", name];
  write(requestId, { jsonrpc: "2.0", id, result: { error: { ERROR: { [name]: value } } } }, headers);
}

/** Sends the response, with further headers as alternating names and values. */
type Write = (requestId: string | undefined, answer: Tree, headers?: readonly string[]) => void;

function writerOf(response: HttpResponse, connection: Connection, pageHeaders: readonly string[]): Write {
  return (requestId, answer, headers = []) => {
    if (response.destroyed) return;
    const body = encodeJson(answer);
    response.writeHead(200, [
      ...["cache-control", "no-store", "content-type", "application/json"],
      ...["content-length", String(Buffer.byteLength(body))],
      ...(requestId === undefined ? [] : ["x-request-id", requestId]),
      ...pageHeaders,
      ...headers,
    ]);
    response.end(body);
    connection.answered(body.length);
  };
}

/** An invocation as the pipeline sees it. */
class JsonRpcCall extends HttpCall {
  readonly protocol = "json_rpc";
  readonly connection: Connection;
  readonly #security: TreeObject;

  constructor(request: HttpRequest, { application, security }: Invocation) {
    const { headers } = request;
    const { opId } = application;
    super(
      headers,
      headers["vapi-ctx-opid"] ?? headers["x-request-id"] ?? (typeof opId === "string" ? opId : undefined),
    );
    this.connection = connectionOf(request);
    this.#security = security;
  }

  /** @throws ServiceError `unauthenticated`, and only when the operation needs credentials */
  override get credentials(): Credentials {
    return credentialsOf(this.#security, this.headers);
  }
}
