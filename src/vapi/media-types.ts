import { parse } from "content-type";
import Negotiator from "negotiator";
import { ServiceError } from "../domain/errors.ts";

export type RequestFormat = "json" | "xml" | "form";

/** What an answer is written in; also its Content-Type. */
export type ResponseType = "application/json" | "application/xml" | "text/xml";

const requestFormats = new Map<string, RequestFormat>([
  ["application/json", "json"],
  ["application/xml", "xml"],
  ["text/xml", "xml"],
  ["application/x-www-form-urlencoded", "form"],
]);
const responseTypes: ResponseType[] = ["application/json", "application/xml", "text/xml"];

/**
 * The format of a request body. Without a content type it is JSON.
 *
 * @throws ServiceError `unsupported_media_type`
 */
export function requestFormat(
  contentType: string | undefined,
  contentEncoding: string | undefined,
): RequestFormat {
  if (contentEncoding !== undefined && contentEncoding.toLowerCase() !== "identity") {
    throw new ServiceError("downlease.request.media_type", [
      `the content encoding '${contentEncoding}' is not accepted`,
    ]);
  }
  if (contentType === undefined || contentType === "application/json") return "json";
  const { type, parameters } = parse(contentType);
  const format = requestFormats.get(type.toLowerCase());
  if (format === undefined) {
    throw new ServiceError("downlease.request.media_type", [
      `the content type '${contentType}' is not accepted`,
    ]);
  }
  const charset = parameters.charset?.toLowerCase();
  if (charset !== undefined && charset !== "utf-8" && charset !== "us-ascii") {
    throw new ServiceError("downlease.request.media_type", [`the charset '${charset}' is not accepted`]);
  }
  return format;
}

/** What the caller would like best of what there is; JSON when it does not say, or wants something else. */
export function responseType(accept: string | undefined): ResponseType {
  if (accept === undefined || accept === "*/*" || accept === "application/json") return "application/json";
  const wanted = new Negotiator({ headers: { accept } }).mediaType(responseTypes);
  return (wanted as ResponseType | undefined) ?? "application/json";
}
