import { ServiceError } from "../../domain/errors.ts";

/** Turns a driver's error into the cause of a ServiceError. */
export function unavailable(error: unknown): ServiceError {
  if (error instanceof Error) error.message = withoutArguments(error.message);
  return new ServiceError("downlease.store.unavailable", [], error);
}

/** The message alone, for the log: errors of ioredis also have the arguments of the command, and those contain ids. */
export function reasonOf(error: unknown): string {
  if (error instanceof ServiceError && error.cause !== undefined) return reasonOf(error.cause);
  return error instanceof Error ? withoutArguments(error.message) || error.name : String(error);
}

/** Redis repeats the arguments in its message when it does not know the command, for example a renamed one. */
function withoutArguments(message: string): string {
  return message.replace(/, with args beginning with:.*/s, "");
}
