import type { IncomingHttpHeaders } from "node:http";
import { ServiceError } from "../../../domain/errors.ts";
import { parseJson, sourceOf } from "../codecs/json.ts";
import { decodeUtf8 } from "../codecs/utf8.ts";
import { requestFormat } from "../media-types.ts";
import { isTreeObject, NumberLiteral, type Tree, type TreeObject } from "../tree.ts";

/** JSON-RPC's error codes (https://www.jsonrpc.org/specification#error_object), and vAPI's for headers that contradict the body. */
export const errorCodes = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  headerMismatch: -31001,
} as const;

/** A request that does not invoke an operation; answered with a JSON-RPC error object. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly code: number;
  readonly id: RequestId;

  constructor(code: keyof typeof errorCodes, message: string, id: RequestId = null) {
    super(message);
    this.code = errorCodes[code];
    this.id = id;
  }
}

/** Repeated in the response exactly as it was written. */
export type RequestId = string | number | NumberLiteral | null;

/** An invocation whose service, operation and input are not yet checked. */
export interface Invocation {
  readonly id: RequestId;
  readonly serviceId: string;
  readonly operationId: string;
  readonly input: Tree;
  /** `ctx.appCtx` and `ctx.securityCtx`. */
  readonly application: TreeObject;
  readonly security: TreeObject;
}

const nothing: TreeObject = {};

/**
 * Reads a request body: one invocation. Batches and notifications are refused, because vAPI does not use them.
 *
 * @throws ProtocolError
 */
export function readInvocation(body: Buffer, headers: IncomingHttpHeaders): Invocation {
  const { text, tree } = parseBody(body, headers);
  if (!isTreeObject(tree)) throw new ProtocolError("invalidRequest", "The request is not an object.");
  const id = idOf(tree, text);
  const { jsonrpc, method, params } = tree;
  if (jsonrpc !== "2.0") throw new ProtocolError("invalidRequest", "'jsonrpc' is not \"2.0\".", id);
  if (typeof method !== "string") throw new ProtocolError("invalidRequest", "'method' is not a string.", id);
  if (method !== "invoke") throw new ProtocolError("methodNotFound", "The only method is 'invoke'.", id);
  const invalid = (problem: string) => new ProtocolError("invalidParams", problem, id);
  if (params === undefined || !isTreeObject(params)) throw invalid("'params' is not an object.");
  const { serviceId, operationId, input, ctx } = params;
  if (typeof serviceId !== "string") throw invalid("'params.serviceId' is not a string.");
  if (typeof operationId !== "string") throw invalid("'params.operationId' is not a string.");
  if (input === undefined) throw invalid("'params.input' is missing.");
  const context = objectOr(ctx, () => invalid("'params.ctx' is not an object."));
  const { "vapi-service": service = serviceId, "vapi-operation": operation = operationId } = headers;
  if (service !== serviceId || operation !== operationId) {
    throw new ProtocolError(
      "headerMismatch",
      "The headers 'vapi-service' and 'vapi-operation' contradict the body.",
      id,
    );
  }
  return {
    id,
    serviceId,
    operationId,
    input,
    application: objectOr(context.appCtx, () => invalid("'params.ctx.appCtx' is not an object.")),
    security: objectOr(context.securityCtx, () => invalid("'params.ctx.securityCtx' is not an object.")),
  };
}

function parseBody(body: Buffer, headers: IncomingHttpHeaders): { text: string; tree: Tree } {
  try {
    requestFormat(headers["content-type"], headers["content-encoding"], ["json"]);
  } catch (error) {
    throw new ProtocolError("invalidRequest", messageOf(error));
  }
  try {
    const text = decodeUtf8(body);
    return { text, tree: parseJson(text) };
  } catch (error) {
    throw new ProtocolError("parseError", messageOf(error));
  }
}

function messageOf(error: unknown): string {
  if (error instanceof ServiceError) return error.message;
  throw error;
}

/** @throws ProtocolError when the id is missing or of a wrong type */
function idOf({ id }: TreeObject, text: string): RequestId {
  if (typeof id === "string") {
    // A string with escapes might be written differently, so its source text is kept.
    return text.includes("\\") ? new NumberLiteral(sourceOf(text, "id") ?? JSON.stringify(id)) : id;
  }
  if (id === null || typeof id === "number" || id instanceof NumberLiteral) return id;
  throw new ProtocolError("invalidRequest", "'id' is not a string, a number or null.");
}

function objectOr(tree: Tree | undefined, otherwise: () => Error): TreeObject {
  if (tree === undefined || tree === null) return nothing;
  if (!isTreeObject(tree)) throw otherwise();
  return tree;
}
