import type { AddressInfo } from "node:net";
import { getSystemErrorMessage } from "node:util";

/** The environment does not let the service start; the message is for the operator. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/** Does one step of a start. @throws StartError when it fails, with the prefix before the message */
export async function orStartError<T>(step: () => T | Promise<T>, prefix = ""): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw new StartError(prefix + messageOf(error), { cause: error });
  }
}

/** What failed, for the operator. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { syscall, code, errno, address, port } = error as NodeJS.ErrnoException & Partial<AddressInfo>;
  if (syscall !== "bind" || errno === undefined) return error.message;
  // About a port that is unavailable, Node gives a worker less than it gives a process of its own.
  return `listen ${code}: ${getSystemErrorMessage(errno)} ${address}${port ? `:${port}` : ""}`;
}
