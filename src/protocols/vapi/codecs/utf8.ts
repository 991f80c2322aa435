import { isUtf8 } from "node:buffer";
import { ServiceError } from "../../../domain/errors.ts";

/** Decodes UTF-8 strictly: a client that sends something else is told so, not guessed at. */
export function decodeUtf8(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw malformed("the body is not valid UTF-8");
  const text = bytes.toString("utf8");
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

export function malformed(reason: string): ServiceError {
  return new ServiceError("downlease.request.malformed", [reason]);
}
