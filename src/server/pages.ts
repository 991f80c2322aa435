import { existsSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import Negotiator from "negotiator";
import sirv from "sirv";
import {
  discardBody,
  type HttpRequest,
  type HttpResponse,
  isRead,
  pathOf,
  refuseMethod,
} from "../calls/http.ts";
import type { ProtocolHandler } from "../calls/protocol-handler.ts";

const consolePath = "/console";
const docsPath = "/docs";

/** Files that the build names after their content. */
const assets = `${consolePath}/assets/`;

/** Nothing is inline, nothing comes from elsewhere, nobody may frame it. Pages set styles by script, which is allowed. */
function policyFor(page: string): string {
  const sources = ["script-src", "style-src", "img-src", "font-src", "connect-src", "form-action"];
  // The API page has its icons in its style sheet.
  const imagesOf = (source: string) => (source === "img-src" && page === docsPath ? " data:" : "");
  return [
    "default-src 'none'",
    ...sources.map((source) => `${source} 'self'${imagesOf(source)}`),
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

const notBuilt = `This installation has no pages for browsers: the executable has none, and in a checkout of the project
"npm run console" builds them. The package of npm and the image have them.
`;

type Serve = (request: HttpRequest, response: HttpResponse) => void;

/**
 * Serves the pages for browsers, which call the same operations as any client: the console, the page of the API, and at
 * `/` a page that leads to them. GET and HEAD, without credentials. Every path below `/console` that is no file is the
 * console, which reads the path itself.
 *
 * @param folder what `npm run console` has built
 * @param pageHeaders names and values in turn; see `pageHeaders`
 */
export function pagesHandler(folder: string, pageHeaders: readonly string[]): ProtocolHandler {
  const serve = existsSync(folder) ? filesIn(folder, pageHeaders) : text(404, notBuilt, pageHeaders);
  return {
    name: "pages",
    headers: { request: [], response: [] },
    takes(request, path) {
      // Calls pass here as well: most are refused by a character.
      if (path.charCodeAt(1) === slashC || path.charCodeAt(1) === slashD) {
        return [consolePath, docsPath].some((page) => path === page || path.startsWith(`${page}/`));
      }
      return request.url === "/" && isBrowser(request);
    },
    serve(request, response, path) {
      discardBody(request);
      if (!isRead(request)) refuseMethod(response, pageHeaders);
      else if (path === consolePath) redirect(response, `${consolePath}/`, pageHeaders);
      else if (path.startsWith(`${docsPath}/`)) redirect(response, docsPath, pageHeaders);
      else serve(request, response);
    },
  };
}

const [slashC, slashD] = ["c".charCodeAt(0), "d".charCodeAt(0)];

/** Whether the request is made by somebody who looks at a page; other clients get what they always got. */
function isBrowser(request: HttpRequest): boolean {
  const accepted = new Negotiator(request).mediaTypes(["application/json", "text/html"]);
  return isRead(request) && request.headers.accept !== undefined && accepted[0] === "text/html";
}

/** The names of all files are read once; what is not among them is never looked for. */
function filesIn(folder: string, pageHeaders: readonly string[]): Serve {
  const options = { etag: true, gzip: true, brotli: true, ignores: false } as const;
  const serveAsset = sirv(folder, {
    ...options,
    setHeaders: setter(pageHeaders, consolePath, "public, max-age=31536000, immutable"),
  });
  const pages = new Map(
    [consolePath, docsPath, "/"].map((page) => [
      page,
      sirv(folder, { ...options, setHeaders: setter(pageHeaders, page, "no-cache") }),
    ]),
  );
  const notFound = text(404, "There is no such file.\n", pageHeaders);
  return (request, response) => {
    const path = pathOf(request);
    const send = (serve: ReturnType<typeof sirv>, file: string) => {
      request.url = file;
      // A part of a compressed file is of no use to anybody.
      delete request.headers.range;
      // Of either HTTP version: it uses what both have.
      serve(request as IncomingMessage, response as ServerResponse, () => notFound(request, response));
    };
    if (path.startsWith(assets)) send(serveAsset, path.slice(consolePath.length));
    else if (path === docsPath) send(pages.get(docsPath)!, "/docs.html");
    else if (path === "/") send(pages.get("/")!, "/welcome.html");
    else send(pages.get(consolePath)!, "/index.html");
  };
}

function setter(
  pageHeaders: readonly string[],
  page: string,
  caching: string,
): (response: ServerResponse) => void {
  const headers = new Headers();
  for (let index = 0; index < pageHeaders.length; index += 2)
    headers.set(pageHeaders[index]!, pageHeaders[index + 1]!);
  headers.set("content-security-policy", policyFor(page));
  headers.set("cache-control", caching);
  return (response) => {
    for (const [name, value] of headers) response.setHeader(name, value);
  };
}

function redirect(response: HttpResponse, location: string, pageHeaders: readonly string[]): void {
  response.writeHead(308, ["location", location, "content-length", "0", ...pageHeaders]);
  response.end();
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
