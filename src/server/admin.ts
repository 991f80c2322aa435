import { discardBody, type HttpRequest, type HttpResponse, isRead } from "../calls/http.ts";
import type { ProtocolHandler } from "../calls/protocol-handler.ts";
import { atMostEvery } from "../telemetry/at-most-every.ts";
import type { ServingStatus } from "../telemetry/health.ts";
import type { Exposition } from "../telemetry/metrics.ts";

/** Statuses by service name; "" is the service as a whole. */
export interface Readiness {
  readonly statuses: ReadonlyMap<string, ServingStatus>;
}

interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Buffer;
}

type MakePage = () => Page | Promise<Page>;

const metricsPath = "/metrics";

/** How long a computed page of metrics is served. */
const metricsMs = 1000;

/**
 * The paths for load balancers: `/healthz`, 200 while the process lives; `/readyz`, 200 while it serves, else 503. GET
 * and HEAD. Not for pages of other origins: it stands in front of CORS.
 *
 * @param pageHeaders names and values in turn, for every page; see `pageHeaders`
 */
export function healthHandler(readiness: Readiness, pageHeaders: readonly string[] = []): ProtocolHandler {
  const pages = {
    "/healthz": () => json(200, { status: "alive" }),
    "/readyz": () => readinessPage(readiness),
  };
  return pagesHandler("health", pages, pageHeaders);
}

/** `/metrics`, for Prometheus. The page is computed at most once a second, for all who request it. */
export function metricsHandler(
  metrics: () => Promise<Exposition>,
  pageHeaders: readonly string[] = [],
): ProtocolHandler {
  const page = atMostEvery(metricsMs, async () => {
    const { contentType, body } = await metrics();
    // In bytes, which the answers to all share.
    return { status: 200, contentType, body: Buffer.from(body) };
  });
  return pagesHandler("metrics", { [metricsPath]: page }, pageHeaders);
}

/** `/version`: which release of the program this is, and which Node.js runs it. */
export function versionHandler(
  program: { readonly name: string; readonly version: string },
  pageHeaders: readonly string[] = [],
): ProtocolHandler {
  const { name, version } = program;
  const { platform, arch } = process;
  const page = json(200, { name, version, node: process.version, platform, arch });
  return pagesHandler("version", { "/version": () => page }, pageHeaders);
}

/** Answers `/metrics` on the address of the service, where there are none, with where they are. */
export function metricsElsewhere(pageHeaders: readonly string[] = []): ProtocolHandler {
  const message = "Metrics are served on the admin address; see --admin-listen.";
  const page = () => json(404, { status: "not found", message });
  return pagesHandler("metrics elsewhere", { [metricsPath]: page }, pageHeaders);
}

/** Answers 404: the last row of the admin address. */
export function nothingElse(pageHeaders: readonly string[] = []): ProtocolHandler {
  const page = json(404, {
    status: "not found",
    message: "/healthz, /readyz, /version and /metrics are served here.",
  });
  return {
    name: "nothing else",
    headers: { request: [], response: [] },
    takes: () => true,
    serve(request, response) {
      discardBody(request);
      answer(response, page, pageHeaders);
    },
  };
}

function pagesHandler(
  name: string,
  pages: Readonly<Record<string, MakePage>>,
  pageHeaders: readonly string[],
): ProtocolHandler {
  const byPath = new Map(Object.entries(pages));
  return {
    name,
    headers: { request: [], response: [] },
    takes: (_, path) => byPath.has(path),
    serve(request, response, path) {
      discardBody(request);
      void show(byPath.get(path)!, request, response, pageHeaders);
    },
  };
}

async function show(
  make: MakePage,
  request: HttpRequest,
  response: HttpResponse,
  pageHeaders: readonly string[],
): Promise<void> {
  if (!isRead(request)) {
    answer(response, json(405, { status: "method not allowed" }), [...pageHeaders, "allow", "GET, HEAD"]);
    return;
  }
  let page: Page;
  try {
    page = await make();
  } catch {
    page = json(500, { status: "failed" });
  }
  answer(response, page, pageHeaders);
}

function answer(
  response: HttpResponse,
  { status, contentType, body }: Page,
  headers: readonly string[],
): void {
  const length = String(Buffer.byteLength(body));
  const own = ["content-type", contentType, "content-length", length, "cache-control", "no-store"];
  response.writeHead(status, [...own, ...headers]);
  response.end(body);
}

function readinessPage({ statuses }: Readiness): Page {
  const { "": status, ...services } = Object.fromEntries(statuses);
  return json(status === "SERVING" ? 200 : 503, { status, services });
}

function json(status: number, body: object): Page {
  return { status, contentType: "application/json", body: JSON.stringify(body) };
}
