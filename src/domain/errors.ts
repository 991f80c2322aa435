/**
 * Every way in which a call can fail, by what the caller can do about it. gRPC code, vAPI error and HTTP
 * status of an error follow from its kind and are written nowhere else; doors translate the names into the
 * constants of their library.
 */
export const errorKinds = {
  not_found: { grpc: "NOT_FOUND", vapi: "not_found", http: 404 },
  operation_not_found: { grpc: "UNIMPLEMENTED", vapi: "not_found", http: 404 },
  not_allowed_in_current_state: {
    grpc: "FAILED_PRECONDITION",
    vapi: "not_allowed_in_current_state",
    http: 400,
  },
  invalid_argument: { grpc: "INVALID_ARGUMENT", vapi: "invalid_argument", http: 400 },
  invalid_request: { grpc: "INVALID_ARGUMENT", vapi: "invalid_request", http: 400 },
  unsupported_media_type: { grpc: "INVALID_ARGUMENT", vapi: "invalid_request", http: 415 },
  body_too_large: { grpc: "RESOURCE_EXHAUSTED", vapi: "invalid_request", http: 413 },
  unauthenticated: { grpc: "UNAUTHENTICATED", vapi: "unauthenticated", http: 401 },
  unauthorized: { grpc: "PERMISSION_DENIED", vapi: "unauthorized", http: 403 },
  canceled: { grpc: "CANCELLED", vapi: "canceled", http: 500 },
  timed_out: { grpc: "DEADLINE_EXCEEDED", vapi: "timed_out", http: 504 },
  service_unavailable: { grpc: "UNAVAILABLE", vapi: "service_unavailable", http: 503 },
  internal_server_error: { grpc: "INTERNAL", vapi: "internal_server_error", http: 500 },
} as const satisfies Record<string, { grpc: string; vapi: string; http: number }>;

export type ErrorKind = keyof typeof errorKinds;

/**
 * Every message that a caller may see: its id, the kind of error it belongs to, and its English text, in which
 * `{0}`, `{1}`… stand for the arguments.
 */
export const errorMessages = {
  "downlease.session.not_found": {
    kind: "not_found",
    text: "Download session '{0}' does not exist or has expired. Create a new session for the item.",
  },
  "downlease.session.not_active": {
    kind: "not_allowed_in_current_state",
    text: "Download session '{0}' is {1}, not ACTIVE. Create a new session to go on.",
  },
  "downlease.library.not_found": {
    kind: "not_found",
    text: "Library '{0}' does not exist.",
  },
  "downlease.item.not_found": {
    kind: "not_found",
    text: "Library item '{0}' does not exist.",
  },
  "downlease.file.not_found": {
    kind: "not_found",
    text: "There is no file '{0}' in library item '{1}'.",
  },
  "downlease.argument.missing": {
    kind: "invalid_argument",
    text: "'{0}' must be set.",
  },
  "downlease.argument.identifier": {
    kind: "invalid_argument",
    text: "'{0}' must be an identifier of 1 to 256 bytes without control characters.",
  },
  "downlease.argument.client_token": {
    kind: "invalid_argument",
    text: "'client_token' must be a UUID, for example b7d7c2f4-0c0e-4a0e-8d2b-5f0d4b7f3a11.",
  },
  "downlease.argument.find_spec": {
    kind: "invalid_argument",
    text: "'spec' must say what to look for: at least one of {0}.",
  },
  "downlease.argument.progress": {
    kind: "invalid_argument",
    text: "'progress' of download session '{0}' must be an integer from 0 to 100. Nothing was changed.",
  },
  "downlease.argument.type": {
    kind: "invalid_argument",
    text: "'{0}' must be {1}.",
  },
  "downlease.argument.unknown": {
    kind: "invalid_argument",
    text: "'{0}' is not a parameter of {1}.",
  },
  "downlease.argument.repeated": {
    kind: "invalid_argument",
    text: "'{0}' is given more than once.",
  },
  "downlease.argument.too_many": {
    kind: "invalid_argument",
    text: "'{0}' has {1} entries; at most {2} are accepted. Nothing was changed.",
  },
  "downlease.argument.conflict": {
    kind: "invalid_argument",
    text: "'{0}' is given twice, with different values.",
  },
  "downlease.request.malformed": {
    kind: "invalid_request",
    text: "The request can't be read: {0}.",
  },
  "downlease.request.media_type": {
    kind: "unsupported_media_type",
    text: "The body can't be read: {0}. Send application/json, application/xml or application/x-www-form-urlencoded in UTF-8.",
  },
  "downlease.request.too_large": {
    kind: "body_too_large",
    text: "The body is larger than {0} bytes.",
  },
  "downlease.operation.not_found": {
    kind: "operation_not_found",
    text: "There is no operation for {0} {1}.",
  },
  "downlease.call.canceled": {
    kind: "canceled",
    text: "The caller canceled the call.",
  },
  "downlease.call.timed_out": {
    kind: "timed_out",
    text: "The deadline of the call has passed; its outcome is not known.",
  },
  "downlease.store.unavailable": {
    kind: "service_unavailable",
    text: "The session store does not answer; the outcome is not known. Try again.",
  },
  "downlease.content.unavailable": {
    kind: "service_unavailable",
    text: "The content library can't be read. Try again.",
  },
  "downlease.server.stopping": {
    kind: "service_unavailable",
    text: "The server is shutting down. Try again.",
  },
  "downlease.server.overloaded": {
    kind: "service_unavailable",
    text: "The server has more calls than it can answer soon and has not begun this one. Try again in {0} s.",
  },
  "downlease.server.internal": {
    kind: "internal_server_error",
    text: "The server failed; its log has the details under request id {0}.",
  },
} as const satisfies Record<string, { kind: ErrorKind; text: string }>;

export type ErrorMessageId = keyof typeof errorMessages;

/** How long a caller who was refused for overload is told to wait, in seconds. */
const overloadPauseSeconds = 1;

/** A call that failed in a way its caller may know about. Thrown at the service boundary, once. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly messageId: ErrorMessageId;
  readonly args: readonly string[];

  /** @param cause what happened below, for the log only; it is never shown to callers */
  constructor(messageId: ErrorMessageId, args: readonly string[] = [], cause?: unknown) {
    super(format(errorMessages[messageId].text, args), cause === undefined ? undefined : { cause });
    this.messageId = messageId;
    this.args = args;
  }

  /** A call that was refused because there are too many. */
  static overloaded(): ServiceError {
    return new ServiceError("downlease.server.overloaded", [String(overloadPauseSeconds)]);
  }

  /** When the caller is told to try again; undefined when the error does not tell. */
  get retryAfterSeconds(): number | undefined {
    return this.messageId === "downlease.server.overloaded" ? overloadPauseSeconds : undefined;
  }

  get kind(): ErrorKind {
    return errorMessages[this.messageId].kind;
  }

  /** The vAPI error type, for example `NOT_FOUND`; also the reason in `google.rpc.ErrorInfo`. */
  get vapiType(): string {
    return errorKinds[this.kind].vapi.toUpperCase();
  }
}

function format(text: string, args: readonly string[]): string {
  return text.replace(/\{(\d)\}/g, (_, index: string) => args[Number(index)] ?? "");
}
