import { type HttpHandler, type HttpResponse, pathOf } from "../operations/http.ts";
import type { Health } from "../telemetry/health.ts";

export interface AdminOptions {
  readonly health: Health;
  readonly metrics: () => Promise<{ contentType: string; body: string }>;
  /** Gets every other path. */
  readonly next: HttpHandler;
}

interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/**
 * What operators and load balancers ask: `/healthz`, 200 while the process lives; `/readyz`, 200 when it serves,
 * else 503; `/metrics`, for Prometheus. GET and HEAD.
 */
export function adminHandler({ health, metrics, next }: AdminOptions): HttpHandler {
  const pages = new Map<string, () => Page | Promise<Page>>([
    ["/healthz", () => json(200, { status: "alive" })],
    ["/readyz", () => readiness(health)],
    ["/metrics", async () => ({ status: 200, ...(await metrics()) })],
  ]);
  return (request, response) => {
    const page = pages.get(pathOf(request));
    if (page === undefined) {
      next(request, response);
      return;
    }
    // Bodies mean nothing here; unread, one would block the connection.
    request.resume();
    if (request.method === "GET" || request.method === "HEAD") void show(page, response);
    else answer(response, json(405, { status: "method not allowed" }), { allow: "GET, HEAD" });
  };
}

function readiness({ statuses }: Health): Page {
  const { "": status, ...services } = Object.fromEntries(statuses);
  return json(status === "SERVING" ? 200 : 503, { status, services });
}

async function show(page: () => Page | Promise<Page>, response: HttpResponse): Promise<void> {
  try {
    answer(response, await page());
  } catch {
    answer(response, json(500, { status: "failed" }));
  }
}

function json(status: number, body: object): Page {
  return { status, contentType: "application/json", body: JSON.stringify(body) };
}

function answer(
  response: HttpResponse,
  { status, contentType, body }: Page,
  headers?: Record<string, string>,
): void {
  response.writeHead(status, {
    ...headers,
    "content-type": contentType,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
  });
  response.end(body);
}
