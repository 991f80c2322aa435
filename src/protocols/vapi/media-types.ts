import { parse } from "content-type";
import Negotiator from "negotiator";
import { ServiceError } from "../../domain/errors.ts";

export type RequestFormat = "json" | "xml" | "form";

/** Format of a response, which is also its Content-Type. */
export type ResponseType = "application/json" | "application/xml" | "text/xml";

const formats = new Map<string, RequestFormat>([
  ["application/json", "json"],
  ["application/xml", "xml"],
  ["text/xml", "xml"],
  ["application/x-www-form-urlencoded", "form"],
]);

/**
 * The format of a request body. Without a content type it is JSON, which is always accepted.
 *
 * @throws ServiceError `unsupported_media_type`
 */
export function requestFormat(
  contentType: string | undefined,
  contentEncoding: string | undefined,
  accepted: readonly RequestFormat[],
): RequestFormat {
  if (contentEncoding !== undefined && contentEncoding.toLowerCase() !== "identity") {
    throw unsupported(`the content encoding '${contentEncoding}' is not accepted`, accepted);
  }
  if (contentType === undefined || contentType === "application/json") return "json";
  const { type, parameters } = parse(contentType);
  const format = formats.get(type.toLowerCase());
  if (format === undefined || !accepted.includes(format)) {
    throw unsupported(`the content type '${contentType}' is not accepted`, accepted);
  }
  const charset = parameters.charset?.toLowerCase();
  if (charset !== undefined && charset !== "utf-8" && charset !== "us-ascii") {
    throw unsupported(`the charset '${charset}' is not accepted`, accepted);
  }
  return format;
}

function unsupported(problem: string, accepted: readonly RequestFormat[]): ServiceError {
  const types = [...formats].filter(([, format]) => accepted.includes(format)).map(([type]) => type);
  return new ServiceError("downlease.request.media_type", [problem, types.join(" or ")]);
}

/** Negotiates the response type; the first one when `Accept` is missing or matches none. */
export function responseType(accept: string | undefined, available: readonly ResponseType[]): ResponseType {
  const [preferred] = available as readonly [ResponseType];
  if (available.length === 1 || accept === undefined || accept === "*/*" || accept === preferred)
    return preferred;
  const accepted = new Negotiator({ headers: { accept } }).mediaType([...available]);
  return (accepted as ResponseType | undefined) ?? preferred;
}
