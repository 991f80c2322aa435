import { createRegistry } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { detailsOf, grpcCodeOf, metadataOf } from "../../calls/status.ts";
import { ServiceError } from "../../domain/errors.ts";

/** JSON needs the types of error details in order to write them. */
export const jsonOptions = { registry: createRegistry(ErrorInfoSchema, RetryInfoSchema) };

/** The error for Connect's runtime, whose codes are gRPC's numbers. */
export function connectErrorOf(error: ServiceError): ConnectError {
  const { message } = error;
  return new ConnectError(message.toWellFormed(), grpcCodeOf(error), metadataOf(error), [
    ...detailsOf(error),
  ]);
}

/** Whether Connect's runtime reports bytes that are not a message, for which it has INTERNAL, as a fault of the server. */
export function isUnreadable(reason: unknown): boolean {
  return (
    reason instanceof ConnectError &&
    reason.code === Code.Internal &&
    reason.rawMessage.startsWith("parse binary:")
  );
}

/** The error for bytes that are not a message. */
export function unreadable(): ConnectError {
  return connectErrorOf(new ServiceError("downlease.request.malformed", ["a message is not well-formed"]));
}

/**
 * The response with `grpc-message` encoded as the gRPC specification says. Connect percent-encodes more characters,
 * which clients such as grpc-js do not decode: they would show `CANCELED%2C not ACTIVE`.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses
 */
export function withGrpcSpelling(response: UniversalServerResponse): UniversalServerResponse {
  const { trailer } = response;
  if (trailer === undefined) return response;
  return {
    ...response,
    // Complete only after the body; nobody reads it before.
    get trailer() {
      const message = trailer.get("grpc-message");
      if (message !== null) trailer.set("grpc-message", grpcSpelling(decodeURIComponent(message)));
      return trailer;
    },
  };
}

/** Encodes a text for `grpc-message`. */
export function grpcSpelling(message: string): string {
  return encodeURI(message);
}
