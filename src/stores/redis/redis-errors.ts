import { ServiceError } from "../../domain/errors.ts";

/** A script as its errors show it. */
export interface FailedScript {
  readonly name: string;
  readonly text: string;
}

/** Turns a driver's error into the cause of a ServiceError. */
export function unavailable(error: unknown, script?: FailedScript): ServiceError {
  if (error instanceof Error) {
    error.message = withoutArguments(error.message);
    if (script !== undefined && error.name === "ReplyError") error.message = explained(error.message, script);
  }
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

/**
 * Adds which script has failed, and which of its commands: Redis has only the line, and its message about missing
 * rights does not name the command.
 */
function explained(message: string, { name, text }: FailedScript): string {
  const [, reason = message, line] = /^(.*?) script: \w+, on @user_script:(\d+)/s.exec(message) ?? [];
  const called = line === undefined ? "" : (text.split("\n")[Number(line) - 1] ?? "");
  const commands = [...called.matchAll(/\bcall\("(\w+)"/g)].map(([, command]) => command);
  return `${reason} (${[name, ...commands].join(", ")})`;
}
