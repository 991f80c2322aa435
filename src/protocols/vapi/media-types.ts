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

/**
 * Negotiates the response type; the first one when `Accept` is missing or matches none.
 *
 * @param isStrict whether another type than the first has to be preferred to it, and not only named before it or more
 *   precisely. A browser, which names XML beside HTML as a kin of XHTML, does not prefer it either.
 */
export function responseType(
  accept: string | undefined,
  available: readonly ResponseType[],
  isStrict: boolean,
): ResponseType {
  const [first] = available as readonly [ResponseType];
  if (available.length === 1 || accept === undefined || accept === "*/*" || accept === first) return first;
  const negotiator = new Negotiator({ headers: { accept } });
  const accepted = (negotiator.mediaType([...available]) as ResponseType | undefined) ?? first;
  const isPreferred = () => {
    const quality = qualityOf(rangesFor(accepted), accept);
    return quality > qualityOf(rangesFor(first), accept) && quality > qualityOf(["text/html"], accept);
  };
  return accepted === first || !isStrict || isPreferred() ? accepted : first;
}

/** The ranges that match a type, the most precise one first. */
function rangesFor(type: string): string[] {
  return [type, type.replace(/\/.*/, "/*"), "*/*"];
}

/** The quality of the first of these ranges that `Accept` has (RFC 9110, section 12.5.1); 0 when it has none. */
function qualityOf(ranges: readonly string[], accept: string): number {
  const accepted = accept.split(",").map((range) => {
    const [name = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith("q="));
    return { name, quality: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
  });
  const [range] = ranges.flatMap((name) => accepted.filter((candidate) => candidate.name === name));
  return range?.quality ?? 0;
}
