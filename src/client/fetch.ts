import { Agent, get, type IncomingMessage } from "node:http";
import { get as getOverTls, Agent as TlsAgent } from "node:https";
// The default export: an old release of Node.js lacks a name in it, and has to get as far as the message about itself.
import tlsModule from "node:tls";
import type { Downlease } from "./connect.ts";
import { type Hop, LinkHops, OwnAddressError } from "./link-hops.ts";
import { maxTimerMs } from "./numbers.ts";
import { RateLimit } from "./rate-limit.ts";
import { retryAfterHeaderMs } from "./retry.ts";

/** The destination of the bytes of a file. */
export interface Sink {
  /** Bytes that the sink has. */
  readonly length: number;
  /** Bytes of the whole file. */
  readonly size: number;
  /** Strong ETag of the file that the bytes belong to; undefined if it is unknown or there are none. */
  readonly etag: string | undefined;
  /** Discards all bytes. The next bytes belong to the file with this ETag. */
  begin(etag: string | undefined): Promise<void>;
  /** Adds bytes. Returns a promise if no more bytes should be sent before it settles. */
  write(chunk: Uint8Array): Promise<void> | undefined;
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
  /** The response is not acceptable; retrying is pointless. */
  | { readonly outcome: "refused"; readonly text: string };

const goneStatuses: ReadonlySet<number> = new Set([401, 403, 404, 410]);
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const maxRedirects = 5;

interface FetcherOptions {
  /** Connections at a time. */
  readonly parallel: number;
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
    { parallel, idleMs, maxBytesPerSecond }: FetcherOptions,
  ) {
    this.#limit = maxBytesPerSecond === undefined ? undefined : new RateLimit(maxBytesPerSecond);
    this.#idleMs = Math.min(idleMs, maxTimerMs);
    this.#traceHeaders = traceHeaders;
    // The timeout closes unused connections, so that links to many hosts keep few of them.
    const options = { keepAlive: true, maxSockets: parallel, timeout: this.#idleMs, proxyEnv: proxies };
    this.#origin = new URL(url).origin;
    this.#hops = new LinkHops(url);
    this.#agent = new Agent(options);
    this.#tlsAgent = new TlsAgent({ ...options, ...(tls.ca !== undefined && withWellKnown(tls.ca)) });
    this.#ownTlsAgent = new TlsAgent({ ...options, ...tls });
  }

  /**
   * Fetches the bytes that a sink lacks. Throws only errors of the sink and the reason of the signal.
   *
   * Bytes of two versions are never mixed: the range is requested on condition that the strong ETag is unchanged, and a
   * response for another version is used from its beginning or not at all.
   */
  async fetch(link: string, sink: Sink, signal: AbortSignal): Promise<FetchOutcome> {
    if (sink.length > 0 && sink.etag === undefined) await sink.begin(undefined);
    let hop = this.#hops.first(link);
    for (let redirects = 0; ; redirects++) {
      signal.throwIfAborted();
      if (typeof hop === "string") return { outcome: "refused", text: hop };
      const attempt = new Attempt(this.#idleMs, signal, this.#limit);
      try {
        await this.#hops.checkAddress(hop.url);
        const response = await this.#request(hop, sink, attempt);
        if (!redirectStatuses.has(response.statusCode ?? 0)) {
          return await readResponse(response, sink, attempt, hop.isStorage);
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
    const { length, etag } = sink;
    const headers = {
      ...(!isStorage && this.#traceHeaders?.()),
      // Ranges of a compressed response would count compressed bytes.
      "accept-encoding": "identity",
      ...(length > 0 && { range: `bytes=${length}-`, "if-range": etag }),
    };
    const tlsAgent = uri.origin === this.#origin ? this.#ownTlsAgent : this.#tlsAgent;
    const [send, agent] = uri.protocol === "https:" ? [getOverTls, tlsAgent] : ([get, this.#agent] as const);
    return new Promise((resolve, reject) => {
      const request = send(uri, { agent, headers, lookup: this.#hops.lookupOf(uri) });
      attempt.attach((error) => request.destroy(error));
      // A request may emit several errors; each needs a listener.
      request.on("error", (error) => reject(new ConnectionError(error)));
      request.once("response", (response) => {
        // readBody adds a listener; an error before that must not be unhandled.
        response.on("error", () => {});
        attempt.attach((error) => response.destroy(error));
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

/** Evaluates the response and reads its body into the sink. */
async function readResponse(
  response: IncomingMessage,
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
  if (status !== 200 && status !== 206) return { outcome: "refused", text: `the link answers ${status}` };
  if ((headers["content-encoding"] ?? "identity") !== "identity") {
    return {
      outcome: "refused",
      text: `the file is sent with content-encoding ${headers["content-encoding"]}`,
    };
  }
  const etag = strongTag(headers.etag);
  if (status === 200) await attempt.whileSinkBusy(sink.begin(etag));
  else if (!isMissingRange(headers["content-range"], sink) || (etag ?? sink.etag) !== sink.etag) {
    return await startOver(sink, "the server sent another range than the requested one");
  }
  if (!(await readBody(response, sink, attempt))) {
    return await startOver(sink, "the server sent more bytes than the file has");
  }
  if (sink.length < sink.size) return broken("the response ended too early");
  return { outcome: "complete" };
}

/**
 * Reads the body into the sink. Resolves with false if the body is longer than the rest of the file. Uses events because
 * an iterator takes a third more CPU time for a large file.
 */
function readBody(response: IncomingMessage, sink: Sink, attempt: Attempt): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(new ConnectionError(error));
    response.on("data", (chunk: Buffer) => {
      attempt.touch();
      if (chunk.length > sink.size - sink.length) {
        response.removeAllListeners("data").pause();
        resolve(false);
        return;
      }
      try {
        const room = sink.write(chunk);
        const turn = attempt.paced(chunk.length);
        if (room === undefined && turn === undefined) return;
        response.pause();
        attempt.whileSinkBusy(Promise.all([room, turn])).then(() => response.resume(), reject);
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

async function startOver(sink: Sink, text: string): Promise<FetchOutcome> {
  await sink.begin(undefined);
  return broken(text);
}

function broken(text: string): FetchOutcome {
  return { outcome: "broken", cause: new Error(text) };
}

/** Whether a `Content-Range` begins at the first byte that the sink lacks. It may end before the file does. */
function isMissingRange(contentRange: string | undefined, { length, size }: Sink): boolean {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(contentRange ?? "") ?? [];
  return start === String(length) && (total === String(size) || total === "*");
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
