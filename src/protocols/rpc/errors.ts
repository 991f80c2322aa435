import { createRegistry } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { detailsOf, grpcCodeOf, metadataOf } from "../../calls/status.ts";
import type { ServiceError } from "../../domain/errors.ts";

/** For messages in JSON, which can't write the details of an error in a message without knowing their types. */
export const jsonOptions = { registry: createRegistry(ErrorInfoSchema, RetryInfoSchema) };

/** The error as Connect's runtime takes it; its codes are the numbers of gRPC. */
export function connectErrorOf(error: ServiceError): ConnectError {
  const { message } = error;
  return new ConnectError(message.toWellFormed(), grpcCodeOf(error), metadataOf(error), [
    ...detailsOf(error),
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
      if (message !== null) trailer.set("grpc-message", grpcSpelling(decodeURIComponent(message)));
      return trailer;
    },
  };
}

/** A text as `grpc-message` carries it. */
export function grpcSpelling(message: string): string {
  return encodeURI(message);
}
