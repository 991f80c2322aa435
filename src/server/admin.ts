import { discardBody, type HttpResponse, pathOf } from "../calls/http.ts";
import type { ProtocolHandler } from "../calls/protocol-handler.ts";
import type { Health } from "../telemetry/health.ts";

export interface AdminOptions {
  readonly health: Health;
  readonly metrics: () => Promise<{ contentType: string; body: string }>;
  /** Names and values in turn, for every page; see `pageHeaders`. */
  readonly pageHeaders?: readonly string[] | undefined;
}

interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/**
 * The paths for operators and load balancers: `/healthz`, 200 while the process lives; `/readyz`, 200 while it serves,
 * else 503; `/metrics`, for Prometheus. GET and HEAD. Not for pages of other origins: it stands in front of CORS.
 */
export function adminHandler({ health, metrics, pageHeaders = [] }: AdminOptions): ProtocolHandler {
  const pages = new Map<string, () => Page | Promise<Page>>([
    ["/healthz", () => json(200, { status: "alive" })],
    ["/readyz", () => readiness(health)],
    ["/metrics", async () => ({ status: 200, ...(await metrics()) })],
  ]);
  const answer = (response: HttpResponse, { status, contentType, body }: Page, ...headers: string[]) => {
    headers.push("content-type", contentType, "content-length", String(Buffer.byteLength(body)));
    response.writeHead(status, [...headers, "cache-control", "no-store", ...pageHeaders]);
    response.end(body);
  };
  const show = async (page: () => Page | Promise<Page>, response: HttpResponse) => {
    try {
      answer(response, await page());
    } catch {
      answer(response, json(500, { status: "failed" }));
    }
  };
  return {
    name: "admin",
    headers: { request: [], response: [] },
    takes: (request) => pages.has(pathOf(request)),
    serve(request, response) {
      discardBody(request);
      if (request.method === "GET" || request.method === "HEAD") {
        void show(pages.get(pathOf(request))!, response);
      } else {
        answer(response, json(405, { status: "method not allowed" }), "allow", "GET, HEAD");
      }
    },
  };
}

function readiness({ statuses }: Health): Page {
  const { "": status, ...services } = Object.fromEntries(statuses);
  return json(status === "SERVING" ? 200 : 503, { status, services });
}

function json(status: number, body: object): Page {
  return { status, contentType: "application/json", body: JSON.stringify(body) };
}
