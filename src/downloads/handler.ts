import { discardBody, type HttpRequest, refuseMethod } from "../calls/http.ts";
import type { ProtocolHandler } from "../calls/protocol-handler.ts";
import { Buffers } from "./buffers.ts";
import { Download, type DownloadParts } from "./download.ts";
import { linkRoot } from "./links.ts";

/**
 * Sends files to clients that have a link: GET and HEAD below `/download/`. The path of the public URL may stand before
 * it, so that a proxy may keep it or strip it.
 *
 * @param pathPrefix path of the public URL, without a slash at its end, or empty
 */
export function downloadHandler(parts: DownloadParts, pathPrefix: string): ProtocolHandler {
  const roots = [...new Set([linkRoot, pathPrefix + linkRoot])];
  const withBuffers = { ...parts, buffers: new Buffers() };
  const rootOf = ({ url = "" }: HttpRequest): string | undefined => {
    for (const root of roots) if (url.startsWith(root)) return root;
    return undefined;
  };
  return {
    name: "downloads",
    headers: {
      request: ["If-Match", "If-None-Match", "If-Range", "Range", "X-Request-ID"],
      response: [
        ...["Accept-Ranges", "Content-Digest", "Content-Disposition", "Content-Range", "ETag"],
        ...["Repr-Digest", "Retry-After", "X-Request-ID"],
      ],
    },
    takes: (request) => rootOf(request) !== undefined,
    serve(request, response) {
      const { method, url = "" } = request;
      discardBody(request);
      if (method === "GET" || method === "HEAD") {
        const target = url.slice(rootOf(request)!.length);
        void new Download(request, response, method, withBuffers).serve(target);
      } else {
        refuseMethod(response, parts.pageHeaders);
      }
    },
  };
}
