import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type ErrorKind, errorKinds, type ServiceError } from "../domain/errors.ts";

const codes = {
  NOT_FOUND: Code.NotFound,
  UNIMPLEMENTED: Code.Unimplemented,
  FAILED_PRECONDITION: Code.FailedPrecondition,
  INVALID_ARGUMENT: Code.InvalidArgument,
  RESOURCE_EXHAUSTED: Code.ResourceExhausted,
  UNAUTHENTICATED: Code.Unauthenticated,
  PERMISSION_DENIED: Code.PermissionDenied,
  CANCELLED: Code.Canceled,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  UNAVAILABLE: Code.Unavailable,
  INTERNAL: Code.Internal,
} as const satisfies Record<(typeof errorKinds)[ErrorKind]["grpc"], Code>;

/** Who defines the reasons in `google.rpc.ErrorInfo`: they are the names of vAPI's standard errors. */
export const errorDomain = "com.vmware.vapi.std.errors";

/**
 * The error as RPC callers see it. Its `google.rpc.ErrorInfo` detail has the vAPI type as reason and, as
 * metadata, `message_id` and the arguments of the message as `arg0`, `arg1`…
 */
export function connectErrorOf(error: ServiceError): ConnectError {
  // Half a surrogate pair, which JSON can smuggle in, has no percent-encoding and no UTF-8.
  const args = error.args.map((arg, index) => [`arg${index}`, arg.toWellFormed()]);
  return new ConnectError(error.message.toWellFormed(), codes[errorKinds[error.kind].grpc], undefined, [
    {
      desc: ErrorInfoSchema,
      value: {
        reason: error.vapiType,
        domain: errorDomain,
        metadata: { message_id: error.messageId, ...Object.fromEntries(args) },
      },
    },
  ]);
}

/**
 * The response with `grpc-message` spelled as gRPC asks. Connect percent-encodes more of it, and clients such as
 * grpc-js don't decode that: they would show `CANCELED%2C not ACTIVE`.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses
 */
export function withGrpcSpelling(response: UniversalServerResponse): UniversalServerResponse {
  const { trailer } = response;
  if (trailer === undefined) return response;
  return {
    ...response,
    // Complete only after the body, and not asked for earlier.
    get trailer() {
      const message = trailer.get("grpc-message");
      if (message !== null) trailer.set("grpc-message", encodeURI(decodeURIComponent(message)));
      return trailer;
    },
  };
}
