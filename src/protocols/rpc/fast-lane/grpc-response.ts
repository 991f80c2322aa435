import type { ServerHttp2Stream } from "node:http2";
import { toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { StatusSchema } from "../../../../gen/google/rpc/status_pb.ts";
import { metadataOf, statusOf } from "../../../calls/status.ts";
import type { ServiceError } from "../../../domain/errors.ts";
import { grpcSpelling } from "../errors.ts";

/** Response headers as alternating names and values, a form that Node.js sends as it is. */
export function grpcHeaders(requestId: string | undefined): string[] {
  const headers = [":status", "200", "content-type", "application/grpc+proto"];
  if (requestId !== undefined) headers.push("x-request-id", requestId);
  return headers;
}

const okTrailers = { "grpc-status": "0" };

/** Listener for `wantTrailers` of a stream that succeeds. */
export function sendOk(this: ServerHttp2Stream): void {
  this.sendTrailers(okTrailers);
}

/** Answers with an error and nothing else. */
export function respondWithError(stream: ServerHttp2Stream, requestId: string, error: ServiceError): void {
  const headers = [...grpcHeaders(requestId), ...Object.entries(errorTrailers(error)).flat()];
  stream.respond(headers, { endStream: true });
}

/** Some errors are created once and sent often. */
const trailersByError = new WeakMap<ServiceError, Readonly<Record<string, string>>>();

/** The trailers of a failed call. */
export function errorTrailers(error: ServiceError): Readonly<Record<string, string>> {
  let trailers = trailersByError.get(error);
  if (trailers === undefined) {
    const status = statusOf(error);
    trailers = {
      "grpc-status": String(status.code),
      "grpc-message": grpcSpelling(status.message),
      "grpc-status-details-bin": base64Encode(toBinary(StatusSchema, status), "std_raw"),
      ...metadataOf(error),
    };
    trailersByError.set(error, trailers);
  }
  return trailers;
}
