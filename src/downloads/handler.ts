import { discardBody, type HttpHandler, type HttpResponse } from "../calls/http.ts";
import { Buffers } from "./buffers.ts";
import { Download, type DownloadParts } from "./download.ts";
import { linkRoot } from "./links.ts";

export interface DownloadHandlerOptions extends DownloadParts {
  /** Path below which links are told to be as well, without a slash at its end, or empty. */
  readonly pathPrefix: string;
  /** Gets every other path. */
  readonly next: HttpHandler;
}

/**
 * Sends files to whoever brings a link: GET and HEAD below `/download/`. The path of the public URL may stand before it,
 * so that a proxy may leave it there or take it away.
 */
export function downloadHandler({ pathPrefix, next, ...rest }: DownloadHandlerOptions): HttpHandler {
  const roots = [...new Set([linkRoot, pathPrefix + linkRoot])];
  const parts = { ...rest, buffers: new Buffers() };
  return (request, response) => {
    const { method, url = "" } = request;
    const root = roots.find((start) => url.startsWith(start));
    if (root === undefined) return next(request, response);
    discardBody(request);
    if (method === "GET" || method === "HEAD") {
      void new Download(request, response, method, parts).serve(url.slice(root.length));
    } else {
      refuseMethod(response, parts.pageHeaders);
    }
  };
}

function refuseMethod(response: HttpResponse, pageHeaders: readonly string[]): void {
  response.writeHead(405, ["allow", "GET, HEAD", "content-length", "0", ...pageHeaders]);
  response.end();
}
