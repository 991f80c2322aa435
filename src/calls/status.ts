import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { type ErrorKind, errorKinds, type ServiceError } from "../domain/errors.ts";

/** https://github.com/grpc/grpc/blob/master/doc/statuscodes.md */
const codes = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const satisfies Record<(typeof errorKinds)[ErrorKind]["grpc"], number>;

/** Domain of the reasons in `google.rpc.ErrorInfo`, which are the names of vAPI's standard errors. */
export const errorDomain = "com.vmware.vapi.std.errors";

/** The gRPC status code of an error. */
export function grpcCodeOf(error: ServiceError): (typeof codes)[keyof typeof codes] {
  return codes[errorKinds[error.kind].grpc];
}

interface Detail {
  readonly desc: typeof ErrorInfoSchema | typeof RetryInfoSchema;
  readonly value: MessageInitShape<typeof ErrorInfoSchema> | MessageInitShape<typeof RetryInfoSchema>;
}

/**
 * The details of an RPC error: a `google.rpc.ErrorInfo` with the vAPI type as reason and, as metadata, `message_id` and
 * the arguments of the message as `arg0`, `arg1`…; also a `google.rpc.RetryInfo` when the error says when to try again.
 */
export function detailsOf(error: ServiceError): readonly Detail[] {
  const args = error.args.map((arg, index) => [`arg${index}`, arg.toWellFormed()]);
  const info = {
    reason: error.vapiType,
    domain: errorDomain,
    metadata: { message_id: error.messageId, ...Object.fromEntries(args) },
  };
  const { retryAfterSeconds } = error;
  if (retryAfterSeconds === undefined) return [{ desc: ErrorInfoSchema, value: info }];
  const retry = { retryDelay: durationFromMs(retryAfterSeconds * 1000) };
  return [
    { desc: ErrorInfoSchema, value: info },
    { desc: RetryInfoSchema, value: retry },
  ];
}

/** The error as a message: in responses, and in `grpc-status-details-bin`. */
export function statusOf(error: ServiceError): Status {
  return create(StatusSchema, {
    code: grpcCodeOf(error),
    // An unpaired surrogate, which JSON can contain, has neither a percent-encoding nor UTF-8.
    message: error.message.toWellFormed(),
    details: detailsOf(error).map(({ desc, value }) => anyPack(desc, create(desc, value))),
  });
}

/**
 * HTTP headers of an error: when to try again, and which credentials the server takes.
 *
 * @param retryAfterSeconds when to try again, where the error itself does not say
 */
export function headersOf(error: ServiceError, retryAfterSeconds?: number): Readonly<Record<string, string>> {
  const { challenge, retryAfterSeconds: seconds = retryAfterSeconds } = error;
  return {
    ...(seconds !== undefined && { "retry-after": String(seconds) }),
    ...(challenge !== undefined && { "www-authenticate": challenge }),
  };
}

/**
 * Metadata of an RPC error: its HTTP headers, and the retry delay for gRPC clients with a retry policy
 * (https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback).
 */
export function metadataOf(error: ServiceError): Readonly<Record<string, string>> {
  const { retryAfterSeconds } = error;
  const pushback = retryAfterSeconds !== undefined && {
    "grpc-retry-pushback-ms": String(retryAfterSeconds * 1000),
  };
  return { ...headersOf(error), ...pushback };
}
