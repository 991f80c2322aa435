import { ServiceError } from "../../domain/errors.ts";

/** A driver's error stops here: it becomes the cause of one of ours. */
export function unavailable(error: unknown): ServiceError {
  if (error instanceof Error) error.message = withoutArguments(error.message);
  return new ServiceError("downlease.store.unavailable", [], error);
}

/** Errors of ioredis carry the arguments of the command, and those carry ids: only the message is shown. */
export function reasonOf(error: unknown): string {
  if (error instanceof ServiceError && error.cause !== undefined) return reasonOf(error.cause);
  return error instanceof Error ? withoutArguments(error.message) || error.name : String(error);
}

/** Redis itself repeats them when it does not know the command, for example because that was renamed. */
function withoutArguments(message: string): string {
  return message.replace(/, with args beginning with:.*/s, "");
}
