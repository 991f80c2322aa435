import { identifierRule } from "./identifiers.ts";

/**
 * Every way in which a call can fail, by what the caller can do about it. gRPC code, vAPI error and HTTP
 * status of an error follow from its kind and are written nowhere else; protocols translate the names into the
 * constants of their library.
 */
export const errorKinds = {
  not_found: { grpc: "NOT_FOUND", vapi: "not_found", http: 404 },
  operation_not_found: { grpc: "UNIMPLEMENTED", vapi: "not_found", http: 404 },
  /** JSON-RPC names operations; on REST there is only a path that leads nowhere. */
  unknown_operation: { grpc: "UNIMPLEMENTED", vapi: "operation_not_found", http: 404 },
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
  too_many_attempts: { grpc: "RESOURCE_EXHAUSTED", vapi: "service_unavailable", http: 429 },
  canceled: { grpc: "CANCELLED", vapi: "canceled", http: 500 },
  timed_out: { grpc: "DEADLINE_EXCEEDED", vapi: "timed_out", http: 504 },
  service_unavailable: { grpc: "UNAVAILABLE", vapi: "service_unavailable", http: 503 },
  internal_server_error: { grpc: "INTERNAL", vapi: "internal_server_error", http: 500 },
} as const satisfies Record<string, { grpc: string; vapi: string; http: number }>;

export type ErrorKind = keyof typeof errorKinds;

interface ErrorRow {
  readonly kind: ErrorKind;
  readonly text: string;
  /** Which argument tells in how many seconds to try again. */
  readonly retryAfter?: number;
}

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
  "downlease.argument.file_name": {
    kind: "invalid_argument",
    text: "There is no file '{0}' in library item '{1}' of the download session.",
  },
  "downlease.link.not_found": {
    kind: "not_found",
    text: "There is nothing to download here: the link is wrong, or the download session that it belongs to is over, or its item has changed.",
  },
  "downlease.argument.missing": {
    kind: "invalid_argument",
    text: "'{0}' must be set.",
  },
  "downlease.argument.identifier": {
    kind: "invalid_argument",
    text: `'{0}' must be an identifier of ${identifierRule}.`,
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
    text: "The body can't be read: {0}. Send {1} in UTF-8.",
  },
  "downlease.request.too_large": {
    kind: "body_too_large",
    text: "The body is larger than {0} bytes.",
  },
  "downlease.operation.not_found": {
    kind: "operation_not_found",
    text: "There is no operation for {0} {1}.",
  },
  "vapi.method.input.invalid.interface": {
    kind: "unknown_operation",
    text: "There is no service '{0}'.",
  },
  "vapi.method.input.invalid.method": {
    kind: "unknown_operation",
    text: "The service '{0}' has no operation '{1}'.",
  },
  "vapi.method.input.invalid": {
    kind: "invalid_argument",
    text: "'{0}' must be {1}.",
  },
  "vapi.data.structure.field.missing": {
    kind: "invalid_argument",
    text: "The field '{0}' of '{1}' is missing.",
  },
  "vapi.data.structure.field.unexpected": {
    kind: "invalid_argument",
    text: "'{0}' is not a field of '{1}'.",
  },
  "vapi.data.structure.name.mismatch": {
    kind: "invalid_argument",
    text: "A structure '{0}' is expected, not '{1}'.",
  },
  "downlease.authentication.required": {
    kind: "unauthenticated",
    text: "The call does not tell who is calling. Log in (com.vmware.cis.session create) and send the identifier as 'vmware-api-session-id', or send credentials of a kind that the server takes.",
  },
  "downlease.authentication.invalid": {
    kind: "unauthenticated",
    text: "The credentials are wrong.",
  },
  "downlease.authentication.expired": {
    kind: "unauthenticated",
    text: "The login session, token or certificate is not valid any more. Log in again.",
  },
  "downlease.authentication.password": {
    kind: "unauthenticated",
    text: "User name and password are for logging in only: create a login session (com.vmware.cis.session create) and send its identifier as 'vmware-api-session-id'.",
  },
  "downlease.authentication.scheme": {
    kind: "unauthenticated",
    text: "The scheme of the security context is not accepted. Use one of {0}.",
  },
  "downlease.authentication.keys_unavailable": {
    kind: "service_unavailable",
    text: "The keys that tokens are checked with can't be had. Try again.",
  },
  "downlease.login.too_many_failures": {
    kind: "too_many_attempts",
    text: "Logging in has failed too often. Try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.login.overloaded": {
    kind: "service_unavailable",
    text: "More callers are logging in than the server can check soon. Try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.storage.role": {
    kind: "unauthorized",
    text: "A DIRECT endpoint is for callers with the role 'storage'. Ask for an HTTPS endpoint.",
  },
  "downlease.storage.none": {
    kind: "unauthorized",
    text: "The content source has no DIRECT endpoint for '{0}'. Ask for an HTTPS endpoint.",
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
    retryAfter: 0,
  },
  "downlease.server.internal": {
    kind: "internal_server_error",
    text: "The server failed; its log has the details under request id {0}.",
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorMessageId = keyof typeof errorMessages;

/**
 * What a good answer tells of something that has failed: the error messages of files and sessions. Ids and English
 * texts as in `errorMessages`.
 */
export const failureMessages = {
  "downlease.session.client_failed": "The client reported a failure without a reason.",
  "downlease.file.changed":
    "Library item '{0}' has changed since the download session was created. Create a new session.",
  "downlease.file.checksum_mismatch":
    "'{0}' does not match the manifest of its library item: its {1} is {3}, not {2}. The item has to be repaired.",
  "downlease.file.unreadable":
    "'{0}' can't be read from the content library. Prepare it again to have it tried again.",
  "downlease.file.failed": "'{0}' could not be made ready. Prepare it again to have it tried again.",
} as const satisfies Record<string, string>;

export type FailureMessageId = keyof typeof failureMessages;

export type MessageId = ErrorMessageId | FailureMessageId;

/** The English text of a message. */
export function textOf(id: MessageId, args: readonly string[]): string {
  const text =
    id in errorMessages ? errorMessages[id as ErrorMessageId].text : failureMessages[id as FailureMessageId];
  return text.replace(/\{(\d)\}/g, (_, index: string) => args[Number(index)] ?? "");
}

export function isMessageId(id: string): id is MessageId {
  return Object.hasOwn(errorMessages, id) || Object.hasOwn(failureMessages, id);
}

/** How long a caller who was refused for overload is told to wait, in seconds. */
const overloadPauseSeconds = 1;

/** A call that failed in a way its caller may know about. Thrown at the service boundary, once. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly messageId: ErrorMessageId;
  readonly args: readonly string[];
  /** What a caller who is not known may show, as `WWW-Authenticate` tells it (RFC 9110, section 11.6.1). */
  readonly challenge: string | undefined;

  /** @param cause what happened below, for the log only; it is never shown to callers */
  constructor(messageId: ErrorMessageId, args: readonly string[] = [], cause?: unknown, challenge?: string) {
    super(textOf(messageId, args), cause === undefined ? undefined : { cause });
    this.messageId = messageId;
    this.args = args;
    this.challenge = challenge;
  }

  /** A call whose caller is not known, or not who it says. */
  static unauthenticated(messageId: ErrorMessageId, challenge: string | undefined): ServiceError {
    return new ServiceError(messageId, [], undefined, challenge);
  }

  /** A call that was refused because there are too many. */
  static overloaded(): ServiceError {
    return new ServiceError("downlease.server.overloaded", [String(overloadPauseSeconds)]);
  }

  /** When the caller is told to try again; undefined when the error does not tell. */
  get retryAfterSeconds(): number | undefined {
    const { retryAfter }: ErrorRow = errorMessages[this.messageId];
    return retryAfter === undefined ? undefined : Number(this.args[retryAfter]);
  }

  get kind(): ErrorKind {
    return errorMessages[this.messageId].kind;
  }

  /** The vAPI error type, for example `NOT_FOUND`; also the reason in `google.rpc.ErrorInfo`. */
  get vapiType(): string {
    return errorKinds[this.kind].vapi.toUpperCase();
  }
}
