import { type ErrorKind, errorKinds } from "./error-kinds.ts";
import { identifierRule } from "./identifiers.ts";

export { type ErrorKind, errorKinds, httpStatusOf } from "./error-kinds.ts";

interface ErrorRow {
  readonly kind: ErrorKind;
  readonly text: string;
  /** Index of the argument that says in how many seconds to try again. */
  readonly retryAfter?: number;
}

/**
 * Every error message that a caller may see, by id: the kind of error, and the English text, in which `{0}`, `{1}`…
 * stand for the arguments.
 */
export const errorMessages = {
  "downlease.session.not_found": {
    kind: "not_found",
    text: "Download session '{0}' does not exist or has expired. Create a new session for the item.",
  },
  "downlease.session.not_active": {
    kind: "not_allowed_in_current_state",
    text: "Download session '{0}' is {1}, not ACTIVE. Create a new session to continue.",
  },
  "downlease.session.too_many": {
    kind: "unable_to_allocate_resource",
    text: "There are {0} download sessions of this principal, the most that --max-sessions-per-principal allows. Delete those that are no longer needed, or wait for them to expire; canceled and failed ones count until then.",
  },
  "downlease.library.not_found": { kind: "not_found", text: "Library '{0}' does not exist." },
  "downlease.library.not_subscribed": {
    kind: "not_found",
    text: "There is no subscribed library '{0}': all libraries of this service are local.",
  },
  "downlease.update_session.not_found": {
    kind: "not_found",
    text: "There is no update session '{0}': this service does not change content.",
  },
  "downlease.item.not_found": { kind: "not_found", text: "Library item '{0}' does not exist." },
  "downlease.file.not_found": {
    kind: "not_found",
    text: "There is no file '{0}' in library item '{1}'.",
  },
  "downlease.argument.file_name": {
    kind: "invalid_argument",
    text: "There is no file '{0}' in library item '{1}' of the download session.",
  },
  "downlease.metadata.not_found": {
    kind: "not_found",
    text: "There is no {0} '{1}'.",
  },
  "downlease.link.not_found": {
    kind: "not_found",
    text: "The link is invalid, or its download session has ended, or its library item has changed.",
  },
  "downlease.download.session_share": {
    kind: "service_unavailable",
    text: "The download session has as many downloads at a time as its share allows. Let one end, or try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.download.principal_share": {
    kind: "service_unavailable",
    text: "The owner of the download session has as many downloads at a time as their share allows. Let one end, or try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.download.address_share": {
    kind: "service_unavailable",
    text: "The client address has as many downloads at a time as its share allows. Let one end, or try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.download.overloaded": {
    kind: "service_unavailable",
    text: "The server has as many downloads at a time as it allows. Try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.argument.missing": {
    kind: "invalid_argument",
    text: "'{0}' must be set, and must not be empty.",
  },
  "downlease.argument.empty": {
    kind: "invalid_argument",
    text: "'{0}' must not be empty. Leave it out to accept any value.",
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
    text: "'spec' must set at least one of {0}.",
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
    text: "'{0}' is set more than once.",
  },
  "downlease.argument.too_many": {
    kind: "invalid_argument",
    text: "'{0}' has {1} entries; at most {2} are accepted. Nothing was changed.",
  },
  "downlease.argument.conflict": {
    kind: "invalid_argument",
    text: "'{0}' is set twice, with different values.",
  },
  "downlease.request.malformed": {
    kind: "invalid_request",
    text: "The request can't be read: {0}.",
  },
  "downlease.request.flags": {
    kind: "malformed_framing",
    text: "The request can't be read: a message is compressed without an announced encoding, or has unknown flags.",
  },
  "downlease.request.message_count": {
    kind: "unknown_operation",
    text: "The method takes exactly one request message.",
  },
  "downlease.request.host": {
    kind: "misdirected",
    text: "The request names a host that the service does not answer for. Use its address, or add the name to --allowed-hosts (DOWNLEASE_ALLOWED_HOSTS).",
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
    text: "There is no operation for {0} {1}{2}.",
  },
  "downlease.soap.method": {
    kind: "unknown_operation",
    text: "SOAP is only for logging in and out here: there is no '{0}'. Use REST or JSON-RPC.",
  },
  "downlease.soap.object": {
    kind: "not_found",
    text: "SOAP is only for logging in and out here: there is no managed object '{0}'.",
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
    text: "No credentials were sent. Log in (com.vmware.cis.session create) and send the identifier as 'vmware-api-session-id', or send credentials of a kind that the server accepts.",
  },
  "downlease.authentication.invalid": {
    kind: "unauthenticated",
    text: "The credentials are wrong.",
  },
  "downlease.authentication.expired": {
    kind: "unauthenticated",
    text: "The login session, token or certificate is no longer valid. Log in again.",
  },
  "downlease.authentication.password": {
    kind: "unauthenticated",
    text: "User name and password are only for logging in: create a login session (com.vmware.cis.session create) and send its identifier as 'vmware-api-session-id'.",
  },
  "downlease.authentication.foreign_page": {
    kind: "unauthenticated",
    text: "A cookie, a password or a client certificate that a browser adds by itself does not count in a request that a page of another origin makes. Send a bearer token, or the identifier of a login session as 'vmware-api-session-id'.",
  },
  "downlease.authentication.scheme": {
    kind: "unauthenticated",
    text: "The scheme of the security context is not accepted. Use one of {0}.",
  },
  "downlease.authentication.keys_unavailable": {
    kind: "service_unavailable",
    text: "The token signing keys are unavailable. Try again.",
  },
  "downlease.login.too_many_failures": {
    kind: "too_many_attempts",
    text: "Too many logins have failed. Try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.login.too_many": {
    kind: "too_many_attempts",
    text: "The principal has opened too many login sessions. Use one of them for many calls, or try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.login.overloaded": {
    kind: "service_unavailable",
    text: "Too many callers are logging in. Try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.storage.role": {
    kind: "unauthorized",
    text: "DIRECT endpoints require the role 'storage'. Request an HTTPS endpoint.",
  },
  "downlease.storage.location_role": {
    kind: "unauthorized",
    text: "Locations on the storage require the role 'storage'. Without it, files are read in a download session.",
  },
  "downlease.storage.none": {
    kind: "unauthorized",
    text: "The content source has no DIRECT endpoint for '{0}'. Request an HTTPS endpoint.",
  },
  "downlease.admin.role": {
    kind: "unauthorized",
    text: "Only the role 'admin' may administer the service. While nobody authenticates, programs on its own machine may, unless the service is reachable by another name or through a proxy.",
  },
  "downlease.admin.end_choice": {
    kind: "invalid_argument",
    text: "Set either 'ids', or at least one of 'owner', 'library_item_id', 'states' and 'min_age_seconds', or 'all'; 'page_token' does not go with 'ids'. Nothing was ended.",
  },
  "downlease.admin.end_logins_choice": {
    kind: "invalid_argument",
    text: "Set either 'ids' or 'principal'. Nothing was ended.",
  },
  "downlease.page.token": {
    kind: "invalid_argument",
    text: "The page token is none of this service, or was returned for another filter. Begin with the first page, without a token.",
  },
  "downlease.settings.invalid": {
    kind: "invalid_argument",
    text: "{0}. Nothing was changed.",
  },
  "downlease.settings.conflict": {
    kind: "concurrent_change",
    text: "The settings have version {0} by now, not {1}. Read them again, then repeat the change.",
  },
  "downlease.configuration.role": {
    kind: "unauthorized",
    text: "Only the role 'admin' may change the configuration. While nobody authenticates no caller has it: use downlease admin settings on its machine.",
  },
  "downlease.configuration.read_only": {
    kind: "invalid_argument",
    text: "'{0}' is always {1} in this service and can't be changed. Nothing was changed.",
  },
  "downlease.call.canceled": {
    kind: "canceled",
    text: "The caller canceled the call.",
  },
  "downlease.call.timed_out": {
    kind: "timed_out",
    text: "The deadline of the call has passed; its outcome is unknown.",
  },
  "downlease.store.unavailable": {
    kind: "service_unavailable",
    text: "The session store does not answer; the outcome is unknown. Try again.",
  },
  "downlease.store.not_replicated": {
    kind: "service_unavailable",
    text: "Too few replicas of the session store confirmed the change in time; the outcome is unknown. Try again.",
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
    text: "The server has too many calls in flight and did not begin this one. Try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.server.too_many_streams": {
    kind: "service_unavailable",
    text: "The server has too many open streams and did not open this one. Send requests on fewer streams, or try again in {0} s.",
    retryAfter: 0,
  },
  "downlease.stream.silent": {
    kind: "timed_out",
    text: "The stream has sent no request for {0} s. Open it again when there is one to send.",
  },
  "downlease.watch.slow": {
    kind: "unable_to_allocate_resource",
    text: "The watch was ended because its client reads more slowly than things change. Watch again, or watch less.",
  },
  "downlease.server.internal": {
    kind: "internal_server_error",
    text: "The server failed; its log has the details under request id {0}.",
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorMessageId = keyof typeof errorMessages;

/**
 * Messages that a successful response carries about a session or file that has failed. Ids and English texts as in
 * `errorMessages`.
 */
export const failureMessages = {
  "downlease.session.client_failed": "The client reported a failure without a reason.",
  "downlease.file.changed":
    "Library item '{0}' has changed since the download session was created. Create a new session.",
  "downlease.file.checksum_mismatch":
    "'{0}' does not match the manifest of its library item: its {1} is {3}, not {2}. Repair the item.",
  "downlease.file.unreadable": "'{0}' can't be read from the content library. Call prepare again to retry.",
  "downlease.file.failed": "'{0}' could not be prepared. Call prepare again to retry.",
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

/** When a caller that was refused for overload should try again, in seconds. */
const overloadPauseSeconds = 1;

/** A failure of a call that its caller may know about. Thrown at the service boundary, once. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly messageId: ErrorMessageId;
  readonly args: readonly string[];
  /** Credentials that the server accepts, in the form of `WWW-Authenticate` (RFC 9110, section 11.6.1). */
  readonly challenge: string | undefined;

  /** @param cause the underlying error, for the log only; callers never see it */
  constructor(messageId: ErrorMessageId, args: readonly string[] = [], cause?: unknown, challenge?: string) {
    super(textOf(messageId, args), cause === undefined ? undefined : { cause });
    this.messageId = messageId;
    this.args = args;
    this.challenge = challenge;
  }

  /** For a call without valid credentials. */
  static unauthenticated(messageId: ErrorMessageId, challenge: string | undefined): ServiceError {
    return new ServiceError(messageId, [], undefined, challenge);
  }

  /** For a call that is refused because there are too many. */
  static overloaded(): ServiceError {
    return new ServiceError("downlease.server.overloaded", [String(overloadPauseSeconds)]);
  }

  /** For a stream that is refused because there are too many. */
  static tooManyStreams(): ServiceError {
    return new ServiceError("downlease.server.too_many_streams", [String(overloadPauseSeconds)]);
  }

  /** When the caller should try again; undefined when the error does not say. */
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
