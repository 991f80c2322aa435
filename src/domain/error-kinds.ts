interface ErrorCodes {
  readonly grpc: string;
  readonly vapi: string;
  /** Status on REST. */
  readonly http: number;
  /** Status on `/api`, where it is another one. */
  readonly apiHttp?: number;
}

/**
 * Kinds of errors, by what the caller can do about them. The gRPC code, vAPI error and HTTP status of an error follow
 * from its kind and stand nowhere else; protocols translate the names into the constants of their library.
 */
export const errorKinds = {
  not_found: { grpc: "NOT_FOUND", vapi: "not_found", http: 404 },
  operation_not_found: { grpc: "UNIMPLEMENTED", vapi: "not_found", http: 404 },
  /** For JSON-RPC, where calls name their operation; on REST an unknown operation is just an unknown path. */
  unknown_operation: { grpc: "UNIMPLEMENTED", vapi: "operation_not_found", http: 404 },
  not_allowed_in_current_state: {
    grpc: "FAILED_PRECONDITION",
    vapi: "not_allowed_in_current_state",
    http: 400,
  },
  invalid_argument: { grpc: "INVALID_ARGUMENT", vapi: "invalid_argument", http: 400 },
  invalid_request: { grpc: "INVALID_ARGUMENT", vapi: "invalid_request", http: 400 },
  /** gRPC has a code of its own for messages whose framing contradicts the protocol. */
  malformed_framing: { grpc: "INTERNAL", vapi: "invalid_request", http: 400 },
  unsupported_media_type: { grpc: "INVALID_ARGUMENT", vapi: "invalid_request", http: 415 },
  body_too_large: { grpc: "RESOURCE_EXHAUSTED", vapi: "invalid_request", http: 413 },
  unauthenticated: { grpc: "UNAUTHENTICATED", vapi: "unauthenticated", http: 401 },
  unauthorized: { grpc: "PERMISSION_DENIED", vapi: "unauthorized", http: 403 },
  /** As vSphere does, `/api` answers with a status of its own. */
  unable_to_allocate_resource: {
    grpc: "RESOURCE_EXHAUSTED",
    vapi: "unable_to_allocate_resource",
    http: 400,
    apiHttp: 500,
  },
  /** A request for a host that the service does not go by. */
  misdirected: { grpc: "PERMISSION_DENIED", vapi: "unauthorized", http: 421 },
  concurrent_change: { grpc: "ABORTED", vapi: "concurrent_change", http: 409 },
  too_many_attempts: { grpc: "RESOURCE_EXHAUSTED", vapi: "service_unavailable", http: 429 },
  canceled: { grpc: "CANCELLED", vapi: "canceled", http: 500 },
  timed_out: { grpc: "DEADLINE_EXCEEDED", vapi: "timed_out", http: 504 },
  service_unavailable: { grpc: "UNAVAILABLE", vapi: "service_unavailable", http: 503 },
  internal_server_error: { grpc: "INTERNAL", vapi: "internal_server_error", http: 500 },
} as const satisfies Record<string, ErrorCodes>;

export type ErrorKind = keyof typeof errorKinds;

/** The HTTP status of an error in a dialect of REST. */
export function httpStatusOf(kind: ErrorKind, dialect: "rest" | "api"): number {
  const { http, apiHttp = http }: ErrorCodes = errorKinds[kind];
  return dialect === "api" ? apiHttp : http;
}
