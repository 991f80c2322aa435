import { isUtf8 } from "node:buffer";
import { ServiceError } from "../../../domain/errors.ts";

/** Decodes UTF-8 strictly: other encodings are refused, not guessed. A byte order mark is dropped. */
export function decodeUtf8(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw malformed("the body is not valid UTF-8");
  const text = bytes.toString("utf8");
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

/**
 * Decodes percent-encoded UTF-8.
 *
 * @param where for the error message, for example ` in the path`
 * @throws ServiceError `invalid_request`
 */
export function decodePercent(text: string, where = ""): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw malformed(`a percent-encoding${where} is broken or is not UTF-8`);
  }
}

export function malformed(reason: string): ServiceError {
  return new ServiceError("downlease.request.malformed", [reason]);
}
