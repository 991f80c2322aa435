import type { ContentFile } from "../domain/content-source.ts";
import type { Digests } from "../domain/preparation.ts";
import { fileHeaders, type Headers } from "./headers.ts";

/** Who sends the files instead of this service. */
export type Offload =
  /** The nginx in front; `prefix` is the path of its location over the content root, with a slash at its end. */
  | { readonly to: "nginx"; readonly prefix: string }
  /** The storage, by URLs that the service signs. */
  | { readonly to: "storage" };

/** A request for the file of an open link. */
export interface OffloadRequest {
  readonly method: "GET" | "HEAD";
  /** Path and query. */
  readonly url: string | undefined;
  readonly fileName: string;
  readonly file: ContentFile;
  /** Undefined while the file is not verified. */
  readonly digests: Digests | undefined;
  /**
   * Renews the lease, once, because nobody reports the progress of these downloads. Resolves with the end of the lease,
   * in milliseconds since the epoch; undefined when the session has ended.
   */
  renew(): Promise<number | undefined>;
}

/** An answer without a body, by which somebody else sends the file. */
export interface OffloadAnswer {
  readonly status: 200 | 307;
  readonly headers: Headers;
}

/** A URL that is signed for less, in milliseconds, might be over before the client has a connection to the storage. */
const minSignedMs = 5_000;

/** The answer that leaves a file to another sender; undefined when this service has to answer. */
export function offloadAnswer(
  offload: Offload | undefined,
  request: OffloadRequest,
): Promise<OffloadAnswer | "session_ended" | undefined> {
  if (offload === undefined || isDeclined(request.url)) return Promise.resolve(undefined);
  return offload.to === "nginx" ? toNginx(request, offload.prefix) : toStorage(request);
}

/** Files without a path that nginx could see are sent by this service. */
async function toNginx(
  { method, file: { path }, fileName, digests, renew }: OffloadRequest,
  prefix: string,
): Promise<OffloadAnswer | "session_ended" | undefined> {
  if (path === undefined) return undefined;
  if (method === "GET" && (await renew()) === undefined) return "session_ended";
  // Encoded as nginx decodes it.
  const location = prefix + path.split("/").map(encodeURIComponent).join("/");
  const headers = ["x-accel-redirect", location, ...fileHeaders(fileName, digests), "content-length", "0"];
  return { status: 200, headers };
}

/**
 * The service answers HEAD, for which another signature would be needed, and sends a file that is not verified yet,
 * because only its own downloads can be cut when the checksum turns out to be wrong. An empty file is not worth the trip.
 */
async function toStorage({
  method,
  file,
  digests,
  renew,
}: OffloadRequest): Promise<OffloadAnswer | "session_ended" | undefined> {
  if (method === "HEAD" || digests === undefined || file.size === 0) return undefined;
  if (file.directUri === undefined) return undefined;
  const endsAt = await renew();
  if (endsAt === undefined) return "session_ended";
  const lifetimeMs = endsAt - Date.now();
  const location = lifetimeMs < minSignedMs ? undefined : await file.directUri(lifetimeMs);
  if (location === undefined) return undefined;
  // The next request has to ask again whether the link is open.
  return { status: 307, headers: ["location", location, "cache-control", "no-store", "content-length", "0"] };
}

/** Whether the client asks for the bytes of this service, by `offload=none` in the query. The link is not signed over it. */
function isDeclined(url = ""): boolean {
  const query = url.slice(url.indexOf("?") + 1);
  return query.includes("offload=") && new URLSearchParams(query).getAll("offload").includes("none");
}
