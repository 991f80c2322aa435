import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** One request and its outcome. */
export interface Exchange {
  readonly kind: "list" | "get" | "head" | "other";
  readonly path: string;
  readonly query: URLSearchParams;
  /** The headers with which the request is passed on. */
  readonly headers: IncomingHttpHeaders;
  /** Of the client's connection. */
  readonly port: number | undefined;
  /** Cuts the connection. */
  cut(): void;
  /** Bytes of the body that the client's connection has accepted so far. */
  taken: number;
  /** Whether the client closed the connection before the answer was complete. */
  isAborted: boolean;
}

export interface Interference {
  /** Answers with this instead of the server. */
  readonly answer?: {
    readonly status: number;
    readonly code?: string;
    readonly headers?: Readonly<Record<string, string>>;
  };
  /** Never answers. */
  readonly isSilent?: boolean;
  /** Cuts the connection after so many bytes of the body. */
  readonly cutAfter?: number;
  /** Holds the body back after so many bytes. */
  readonly stallAfter?: number;
  /** Changes the headers of the answer. */
  readonly headers?: (headers: IncomingHttpHeaders) => IncomingHttpHeaders;
  /** Changes the text of the answer. */
  readonly body?: (text: string) => string;
}

/** A proxy before a server that speaks S3: counts requests, and imitates faults of networks and other servers. */
export interface S3Proxy {
  readonly url: string;
  readonly exchanges: Exchange[];
  /** The faults for a request; may also change its headers. */
  interfere: ((exchange: Exchange) => Interference | undefined) | undefined;
  stop(): Promise<void>;
}

export async function startS3Proxy(target: string): Promise<S3Proxy> {
  const server = createServer(async (request, response) => {
    const exchange = exchangeOf(request);
    proxy.exchanges.push(exchange);
    response.on("close", () => {
      if (!response.writableFinished) exchange.isAborted = true;
    });
    const interference = proxy.interfere?.(exchange) ?? {};
    if (interference.isSilent) return;
    if (interference.answer !== undefined) return refuse(response, interference.answer);
    try {
      await forward(target, request, exchange, response, interference);
    } catch {
      response.destroy();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy: S3Proxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    exchanges: [],
    interfere: undefined,
    async stop() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return proxy;
}

function exchangeOf({ method, url = "", headers, socket }: IncomingMessage): Exchange {
  const { pathname: path, searchParams: query } = new URL(url, "http://proxy");
  const isList = method === "GET" && query.has("list-type");
  const kinds = { GET: "get", HEAD: "head" } as const;
  const kind = isList ? "list" : (kinds[method as keyof typeof kinds] ?? "other");
  return {
    kind,
    path: decodeURIComponent(path),
    query,
    headers: { ...headers },
    port: socket.remotePort,
    cut: () => socket.destroy(),
    taken: 0,
    isAborted: false,
  };
}

function refuse(response: ServerResponse, answer: NonNullable<Interference["answer"]>): void {
  const { status, code, headers } = answer;
  response.writeHead(status, { "content-type": "application/xml", ...headers });
  response.end(code && `<?xml version="1.0"?><Error><Code>${code}</Code><Message>so it is</Message></Error>`);
}

async function forward(
  target: string,
  request: IncomingMessage,
  exchange: Exchange,
  response: ServerResponse,
  { headers: changed = (headers) => headers, body, cutAfter, stallAfter }: Interference,
): Promise<void> {
  const { method, url } = request;
  const upstream = httpRequest(target + url, { method, headers: exchange.headers });
  request.pipe(upstream);
  const [answer] = (await once(upstream, "response")) as [IncomingMessage];
  if (body !== undefined) {
    const text = Buffer.from(body((await buffer(answer)).toString()));
    response.writeHead(answer.statusCode!, { ...changed(answer.headers), "content-length": text.length });
    response.end(text);
    return;
  }
  response.writeHead(answer.statusCode!, changed(answer.headers));
  response.flushHeaders();
  if (cutAfter === 0) {
    response.destroy();
    return;
  }
  for await (const piece of answer as AsyncIterable<Buffer>) {
    // Small pieces, so that `taken` is close to what the other side has accepted.
    for (let start = 0; start < piece.length; start += 65_536) {
      const rest = Math.min(cutAfter ?? Number.POSITIVE_INFINITY, stallAfter ?? Number.POSITIVE_INFINITY);
      const part = piece
        .subarray(start, Math.min(start + 65_536, piece.length))
        .subarray(0, rest - exchange.taken);
      exchange.taken += part.length;
      if (!response.write(part)) await drained(response);
      if (response.destroyed) return;
      if (exchange.taken === stallAfter) {
        await once(response, "close");
        return;
      }
      if (exchange.taken === cutAfter) {
        response.destroy();
        return;
      }
    }
  }
  response.end();
}

/** Resolves when more can be written, or the client has closed the connection. */
async function drained(response: ServerResponse): Promise<void> {
  const over = new AbortController();
  const events = ["drain", "close"].map((event) => once(response, event, { signal: over.signal }));
  try {
    await Promise.race(events);
  } finally {
    over.abort();
    await Promise.allSettled(events);
  }
}
