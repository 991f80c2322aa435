import { Agent, get, type IncomingMessage } from "node:http";
import { get as getOverTls, Agent as TlsAgent } from "node:https";
// The default export: an old release of Node.js lacks a name in it, and has to get as far as the message about itself.
import tlsModule from "node:tls";
import type { Downlease } from "./connect.ts";
import { type Hop, LinkHops, OwnAddressError } from "./link-hops.ts";
import { maxTimerMs } from "./numbers.ts";
import { RateLimit } from "./rate-limit.ts";
import { retryAfterHeaderMs } from "./retry.ts";

/** The destination of the bytes that a request fetches: a part of a file, or all of it. */
export interface Sink {
  /** Position in the file of the next byte. */
  readonly position: number;
  /** Position after the last byte. During the response it may fall, so that what follows is left out, and rise again. */
  readonly end: number;
  /** Bytes of the whole file. */
  readonly size: number;
  /** Strong ETag of the file that the bytes belong to; undefined if it is unknown or there are none. */
  readonly etag: string | undefined;
  /** Whether other connections fetch parts of the same file, so that only the requested range of this version fits. */
  readonly isShared: boolean;
  /** Discards all bytes of the file. The next bytes are its first ones, and belong to the file with this ETag. */
  begin(etag: string | undefined): Promise<void>;
  /** Called when the response fits, before its first bytes. */
  accepted(response: AcceptedResponse): void;
  /** Adds bytes. Returns a promise if no more bytes should be sent before it settles. */
  write(chunk: Uint8Array): Promise<void> | undefined;
}

export interface AcceptedResponse {
  /** Time from the request to the response, in milliseconds. */
  readonly latencyMs: number;
  /** Whether the server sends parts of the file, too. */
  readonly hasRanges: boolean;
}

export type FetchOutcome =
  /** The sink has all bytes. */
  | { readonly outcome: "complete" }
  /** The connection broke or was never made; the sink has the bytes that arrived. */
  | { readonly outcome: "broken"; readonly cause: Error }
  /** The link leads to no file, or not any more. */
  | { readonly outcome: "gone"; readonly status: number }
  /** The storage that the link redirects to refuses, for example because a signature is too old. The link may name a new one. */
  | { readonly outcome: "denied"; readonly status: number }
  /** The server, or its storage, can't answer now. */
  | {
      readonly outcome: "unavailable";
      readonly status: number;
      readonly isStorage: boolean;
      readonly retryAfterMs: number | undefined;
    }
  /** The response is not the requested range of this version. The sink is shared, and has not been changed. */
  | { readonly outcome: "unfit" }
  /** The response is not acceptable; retrying is pointless. */
  | { readonly outcome: "refused"; readonly text: string };

const goneStatuses: ReadonlySet<number> = new Set([401, 403, 404, 410]);
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const maxRedirects = 5;

interface FetcherOptions {
  /** At a time, to each host. */
  readonly connections: number;
  /** How long each may be silent, in milliseconds. */
  readonly idleMs: number;
  /** Of all connections together; unlimited by default. */
  readonly maxBytesPerSecond?: number | undefined;
}

/** Fetches files from their download links over HTTP/1.1. Disposing of it closes its connections. */
export class Fetcher implements Disposable {
  readonly #origin: string;
  readonly #hops: LinkHops;
  readonly #agent: Agent;
  /** For any other origin. */
  readonly #tlsAgent: TlsAgent;
  /** For the origin of the server, the only one that gets the certificate of the client. */
  readonly #ownTlsAgent: TlsAgent;
  readonly #idleMs: number;
  readonly #limit: RateLimit | undefined;
  readonly #traceHeaders: Downlease["traceHeaders"];

  /** @param server links without TLS are refused if it was called over TLS */
  constructor(
    { url, tls, proxies, traceHeaders }: Pick<Downlease, "url" | "tls" | "proxies" | "traceHeaders">,
    { connections, idleMs, maxBytesPerSecond }: FetcherOptions,
  ) {
    this.#limit = maxBytesPerSecond === undefined ? undefined : new RateLimit(maxBytesPerSecond);
    this.#idleMs = Math.min(idleMs, maxTimerMs);
    this.#traceHeaders = traceHeaders;
    // The timeout closes unused connections, so that links to many hosts keep few of them.
    const options = { keepAlive: true, maxSockets: connections, timeout: this.#idleMs, proxyEnv: proxies };
    this.#origin = new URL(url).origin;
    this.#hops = new LinkHops(url);
    this.#agent = new Agent(options);
    this.#tlsAgent = new TlsAgent({ ...options, ...(tls.ca !== undefined && withWellKnown(tls.ca)) });
    this.#ownTlsAgent = new TlsAgent({ ...options, ...tls });
  }

  /**
   * Fetches the bytes of a sink. Throws only errors of the sink and the reason of the signal.
   *
   * Bytes of two versions are never mixed: the range is requested on condition that the strong ETag is unchanged, and a
   * response for another version is used from its beginning or not at all.
   */
  async fetch(link: string, sink: Sink, signal: AbortSignal): Promise<FetchOutcome> {
    if (sink.position > 0 && sink.etag === undefined) await sink.begin(undefined);
    let hop = this.#hops.first(link);
    for (let redirects = 0; ; redirects++) {
      signal.throwIfAborted();
      if (typeof hop === "string") return { outcome: "refused", text: hop };
      const attempt = new Attempt(this.#idleMs, signal, this.#limit);
      try {
        const { end } = sink;
        await this.#hops.checkAddress(hop.url);
        const response = await this.#request(hop, sink, attempt);
        if (!redirectStatuses.has(response.statusCode ?? 0)) {
          return await readResponse(response, end, sink, attempt, hop.isStorage);
        }
        hop =
          redirects === maxRedirects
            ? `the link redirects more than ${maxRedirects} times`
            : this.#hops.next(hop, response.headers.location);
      } catch (error) {
        signal.throwIfAborted();
        const reason = error instanceof ConnectionError ? error.cause : error;
        if (reason instanceof OwnAddressError) return { outcome: "refused", text: reason.message };
        if (!(error instanceof ConnectionError)) throw error;
        return { outcome: "broken", cause: attempt.cause ?? error.cause };
      } finally {
        attempt.close();
      }
    }
  }

  [Symbol.dispose](): void {
    for (const agent of [this.#agent, this.#tlsAgent, this.#ownTlsAgent]) agent.destroy();
  }

  #request({ url: uri, isStorage }: Hop, sink: Sink, attempt: Attempt): Promise<IncomingMessage> {
    const { position, end, size, etag } = sink;
    const isPart = position > 0 || end < size;
    const headers = {
      ...(!isStorage && this.#traceHeaders?.()),
      // Ranges of a compressed response would count compressed bytes.
      "accept-encoding": "identity",
      ...(isPart && { range: `bytes=${position}-${end < size ? end - 1 : ""}`, "if-range": etag }),
    };
    const tlsAgent = uri.origin === this.#origin ? this.#ownTlsAgent : this.#tlsAgent;
    const [send, agent] = uri.protocol === "https:" ? [getOverTls, tlsAgent] : ([get, this.#agent] as const);
    return new Promise((resolve, reject) => {
      const request = send(uri, { agent, headers, lookup: this.#hops.lookupOf(uri) });
      attempt.attach((error) => request.destroy(error));
      // A request may emit several errors; each needs a listener.
      request.on("error", (error) => reject(new ConnectionError(error)));
      request.once("socket", (socket) => {
        const event = uri.protocol === "https:" ? "secureConnect" : "connect";
        if (socket.connecting) socket.once(event, () => attempt.sent());
      });
      attempt.sent();
      request.once("response", (response) => {
        // readBody adds a listener; an error before that must not be unhandled.
        response.on("error", () => {});
        attempt.attach((error) => response.destroy(error));
        attempt.answered();
        resolve(response);
      });
    });
  }
}

/** A failure of the connection, as opposed to one of the sink. */
class ConnectionError extends Error {
  override readonly cause: Error;

  constructor(cause: Error) {
    super("the connection broke");
    this.cause = cause;
  }
}

/** One request and its response. It is destroyed if no bytes arrive for too long or the signal is aborted. */
class Attempt {
  readonly #signal: AbortSignal;
  readonly #limit: RateLimit | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #abort = () => this.#destroy(new Error("aborted"));
  #destroy: (error: Error) => void = () => {};
  #turn: NodeJS.Timeout | undefined;
  /** Whether the sink is busy, so that silence is not the fault of the server. */
  #isSinkBusy = false;
  #sentAt = 0;
  /** Time from the request to the response, in milliseconds. */
  latencyMs = 0;
  /** Why it was destroyed, if it timed out. */
  cause: Error | undefined;

  constructor(idleMs: number, signal: AbortSignal, limit: RateLimit | undefined) {
    this.#signal = signal;
    this.#limit = limit;
    this.#timer = setTimeout(() => {
      if (this.#isSinkBusy) return void this.#timer.refresh();
      this.cause = new Error(`no bytes arrived for ${idleMs / 1000} s`);
      this.#destroy(this.cause);
    }, idleMs);
    signal.addEventListener("abort", this.#abort);
  }

  /** @param destroy destroys the request or the response */
  attach(destroy: (error: Error) => void): void {
    this.#destroy = destroy;
  }

  /** The request is sent, over a connection that is there. */
  sent(): void {
    this.#sentAt = performance.now();
  }

  answered(): void {
    this.latencyMs = performance.now() - this.#sentAt;
  }

  /** Restarts the idle timeout. */
  touch(): void {
    this.#timer.refresh();
  }

  /** Counts bytes that have arrived. Returns a promise if the limit of the rate asks to wait before more are read. */
  paced(bytes: number): Promise<void> | undefined {
    const waitMs = this.#limit?.take(bytes) ?? 0;
    if (waitMs === 0) return undefined;
    return new Promise((resolve) => {
      this.#turn = setTimeout(resolve, Math.min(waitMs, maxTimerMs));
    });
  }

  /** Suspends the idle timeout while the sink works, or the rate is limited. */
  async whileSinkBusy(work: Promise<unknown>): Promise<void> {
    this.#isSinkBusy = true;
    await work;
    this.#isSinkBusy = false;
  }

  close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#turn);
    this.#signal.removeEventListener("abort", this.#abort);
    this.#destroy(new Error("closed"));
  }
}

/**
 * Evaluates the response and reads its body into the sink.
 *
 * @param end of the range that was requested
 */
async function readResponse(
  response: IncomingMessage,
  end: number,
  sink: Sink,
  attempt: Attempt,
  isStorage: boolean,
): Promise<FetchOutcome> {
  const { headers } = response;
  const status = response.statusCode ?? 0;
  if (status >= 500 || status === 408 || status === 429) {
    const retryAfterMs = retryAfterHeaderMs(headers["retry-after"]);
    return { outcome: "unavailable", status, isStorage, retryAfterMs };
  }
  if (status === 416) return await startOver(sink, "the server refuses the missing range");
  // Only the server knows whether the session is gone.
  if (isStorage && status >= 400) return { outcome: "denied", status };
  if (goneStatuses.has(status)) return { outcome: "gone", status };
  if (status !== 200 && status !== 206) return refuse(sink, `the link answers ${status}`);
  const encoding = headers["content-encoding"] ?? "identity";
  if (encoding !== "identity") return refuse(sink, `the file is sent with content-encoding ${encoding}`);
  const etag = strongTag(headers.etag);
  if (status === 200 && !sink.isShared) await attempt.whileSinkBusy(sink.begin(etag));
  else if (!isRequestedRange(headers["content-range"], end, sink) || (etag ?? sink.etag) !== sink.etag) {
    return await startOver(sink, "the server sent another range than the requested one");
  }
  const hasRanges = sink.etag !== undefined && (status === 206 || headers["accept-ranges"] === "bytes");
  sink.accepted({ latencyMs: attempt.latencyMs, hasRanges });
  if (!(await readBody(response, status === 200 ? sink.size : end, sink, attempt))) {
    return await startOver(sink, "the server sent more bytes than the file has");
  }
  if (sink.position < sink.end) return broken("the response ended too early");
  return { outcome: "complete" };
}

/**
 * Reads the body into the sink, as far as that wants it. Resolves with false if the body is longer than what was requested.
 * Uses events because an iterator takes a third more CPU time for a large file.
 *
 * @param end of the body in the file
 */
function readBody(response: IncomingMessage, end: number, sink: Sink, attempt: Attempt): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(new ConnectionError(error));
    const stop = (isAsRequested: boolean) => {
      response.removeAllListeners("data").pause();
      resolve(isAsRequested);
    };
    response.on("data", (chunk: Buffer) => {
      attempt.touch();
      const isCut = sink.end < end;
      const room = sink.end - sink.position;
      if (chunk.length > room && !isCut) return stop(false);
      try {
        const bytes = chunk.length > room ? chunk.subarray(0, room) : chunk;
        const wait = sink.write(bytes);
        // The rest of the response is fetched by another connection.
        if (isCut && bytes.length === room) return stop(true);
        const turn = attempt.paced(chunk.length);
        if (wait === undefined && turn === undefined) return;
        response.pause();
        attempt.whileSinkBusy(Promise.all([wait, turn])).then(() => response.resume(), reject);
      } catch (error) {
        response.removeAllListeners("data").pause();
        reject(error);
      }
    });
    response.on("end", () => resolve(true));
    response.on("error", failed);
    response.on("close", () => failed(new Error("the connection was closed")));
    // The response may have failed during sink.begin(), before these listeners were added.
    if (response.destroyed) failed(response.errored ?? new Error("the connection was closed"));
  });
}

/** Whether that ends the download is left to a request that no other connection depends on. */
function refuse({ isShared }: Sink, text: string): FetchOutcome {
  return isShared ? { outcome: "unfit" } : { outcome: "refused", text };
}

async function startOver(sink: Sink, text: string): Promise<FetchOutcome> {
  if (sink.isShared) return { outcome: "unfit" };
  await sink.begin(undefined);
  return broken(text);
}

function broken(text: string): FetchOutcome {
  return { outcome: "broken", cause: new Error(text) };
}

/** Whether a `Content-Range` begins at the first byte that was requested. It may end before the last one. */
function isRequestedRange(contentRange: string | undefined, end: number, { position, size }: Sink): boolean {
  const [, start, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(contentRange ?? "") ?? [];
  return start === String(position) && Number(last) < end && (total === String(size) || total === "*");
}

/** A weak tag does not identify bytes (RFC 9110, section 8.8.1). */
function strongTag(etag: string | undefined): string | undefined {
  return etag?.startsWith('"') ? etag : undefined;
}

/** The authorities of the user, who knows those of the server, and the well-known ones, of which one may be the storage's. */
function withWellKnown(ca: NonNullable<Downlease["tls"]["ca"]>) {
  const { createSecureContext, getCACertificates } = tlsModule;
  return { secureContext: createSecureContext({ ca: [...getCACertificates("default"), ca.toString()] }) };
}
