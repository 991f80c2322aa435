import { ServiceError } from "../../domain/errors.ts";

/** How long a stream may be silent, in milliseconds. */
export interface Patience {
  /** Before its first request. */
  readonly firstMs: number;
  /** Between two requests; without it, for any time. */
  readonly nextMs?: number;
}

export const defaultPatience: Patience = { firstMs: 10_000, nextMs: 60_000 };

/** The error that ends a stream that has sent no request for so long. */
export function silent(limitMs: number): ServiceError {
  return new ServiceError("downlease.stream.silent", [String(limitMs / 1000)]);
}
