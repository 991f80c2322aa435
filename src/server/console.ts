import { existsSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import sirv from "sirv";
import { discardBody, type HttpRequest, type HttpResponse, pathOf } from "../calls/http.ts";
import type { ProtocolHandler } from "../calls/protocol-handler.ts";

/** Where the console is served. */
export const consolePath = "/console";

/**
 * Nothing is inline, nothing comes from elsewhere, nobody may frame it. React sets styles by script, which needs no
 * inline style.
 */
const policy = [
  "default-src 'none'",
  ...["script-src", "style-src", "img-src", "font-src", "connect-src", "form-action"].map(
    (each) => `${each} 'self'`,
  ),
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Files that the build names after their content. */
const assets = "/assets/";

const notBuilt = "The console is not built. Run: npm run console\n";

type Serve = (request: HttpRequest, response: HttpResponse) => void;

/**
 * Serves the built console, a page that calls the same RPCs as any client: GET and HEAD, without credentials. Every path
 * below that is no file is the page itself, which reads the path.
 *
 * @param folder what `npm run console` has built
 * @param pageHeaders names and values in turn; see `pageHeaders`
 */
export function consoleHandler(folder: string, pageHeaders: readonly string[]): ProtocolHandler {
  const serveFile = existsSync(folder) ? filesIn(folder, pageHeaders) : text(503, notBuilt, pageHeaders);
  return {
    name: "console",
    headers: { request: [], response: [] },
    takes(request) {
      // Calls pass here as well.
      if (!request.url?.startsWith(consolePath)) return false;
      const path = pathOf(request);
      return path === consolePath || path.startsWith(`${consolePath}/`);
    },
    serve(request, response) {
      discardBody(request);
      if (request.method !== "GET" && request.method !== "HEAD") {
        response.writeHead(405, ["allow", "GET, HEAD", "content-length", "0", ...pageHeaders]);
        response.end();
      } else if (pathOf(request) === consolePath) {
        response.writeHead(308, ["location", `${consolePath}/`, "content-length", "0", ...pageHeaders]);
        response.end();
      } else {
        serveFile(request, response);
      }
    },
  };
}

/** The names of all files are read once; what is not among them is never looked for. */
function filesIn(folder: string, pageHeaders: readonly string[]): Serve {
  const options = { etag: true, gzip: true, brotli: true, ignores: false } as const;
  const serveAsset = sirv(folder, {
    ...options,
    setHeaders: setter(pageHeaders, "public, max-age=31536000, immutable"),
  });
  const servePage = sirv(folder, { ...options, single: true, setHeaders: setter(pageHeaders, "no-cache") });
  const notFound = text(404, "There is no such file.\n", pageHeaders);
  return (request, response) => {
    request.url = (request.url ?? "").slice(consolePath.length);
    // A part of a compressed file is of no use to anybody.
    delete request.headers.range;
    const serve = request.url.startsWith(assets) ? serveAsset : servePage;
    // Of either HTTP version: it uses what both have.
    serve(request as IncomingMessage, response as ServerResponse, () => notFound(request, response));
  };
}

function setter(pageHeaders: readonly string[], caching: string): (response: ServerResponse) => void {
  const headers = new Headers();
  for (let index = 0; index < pageHeaders.length; index += 2)
    headers.set(pageHeaders[index]!, pageHeaders[index + 1]!);
  headers.set("content-security-policy", policy);
  headers.set("cache-control", caching);
  return (response) => {
    for (const [name, value] of headers) response.setHeader(name, value);
  };
}

function text(status: number, body: string, pageHeaders: readonly string[]): Serve {
  const length = String(Buffer.byteLength(body));
  return ({ method }, response) => {
    response.writeHead(status, [
      ...["content-type", "text/plain; charset=utf-8", "content-length", length],
      ...["cache-control", "no-store", ...pageHeaders],
    ]);
    response.end(method === "HEAD" ? "" : body);
  };
}
