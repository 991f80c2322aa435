import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    redisUrl: string;
  }
}

/**
 * URL of the Redis that all test files of a run share, and that other runs may share as well: a test keeps to keys
 * of its own and never flushes it. A test that stops, floods or flushes Redis starts its own.
 */
export function sharedRedisUrl(): string {
  return inject("redisUrl");
}
