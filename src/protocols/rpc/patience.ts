import { ServiceError } from "../../domain/errors.ts";

/** How long a stream may be open before its first request, in milliseconds. */
export const firstMessageMs = 10_000;

/** How long a stream of server reflection may be silent between two requests, in milliseconds. */
export const reflectionIdleMs = 60_000;

/** The error that ends a stream that has sent no request for so long. */
export function silent(limitMs: number): ServiceError {
  return new ServiceError("downlease.stream.silent", [String(limitMs / 1000)]);
}
