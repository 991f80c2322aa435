import { ServiceError } from "../../domain/errors.ts";
import { isSystemError } from "./confined.ts";

/** What the file system can't do is for the caller that the source can't be read, whatever the reason. */
export async function available<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (reason) {
    if (!isSystemError(reason)) throw reason;
    throw new ServiceError("downlease.content.unavailable", [], reason);
  }
}
