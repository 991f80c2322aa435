import { Agent, get, type IncomingMessage } from "node:http";
import { get as getOverTls, Agent as TlsAgent } from "node:https";
import type { TlsOptions } from "./connect.ts";

/** Where the bytes of a file go. */
export interface Sink {
  /** Bytes that are there. */
  readonly length: number;
  /** Bytes of the whole file. */
  readonly size: number;
  /** What the bytes that are there are a part of; unset when that is not known, and at the beginning. */
  readonly etag: string | undefined;
  /** Throws away what is there; what comes is a part of this. */
  begin(etag: string | undefined): Promise<void>;
  /** Takes bytes. Gives a promise when no more should come before it is settled. */
  write(chunk: Uint8Array): Promise<void> | undefined;
}

export type FetchOutcome =
  /** All the bytes are there. */
  | { readonly outcome: "complete" }
  /** Cut off, or never reached; what has come is in the sink. */
  | { readonly outcome: "broken"; readonly cause: Error }
  /** There is nothing behind the link, or nothing any more. */
  | { readonly outcome: "gone"; readonly status: number }
  /** The server can't now. */
  | { readonly outcome: "unavailable"; readonly status: number; readonly retryAfterMs: number | undefined }
  /** Never. */
  | { readonly outcome: "refused"; readonly text: string };

const goneStatuses: ReadonlySet<number> = new Set([401, 403, 404, 410]);
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const maxRedirects = 5;

/** Fetches files by their links, over HTTP/1.1. Disposing of it closes its connections. */
export class Fetcher implements Disposable {
  readonly #agent: Agent;
  readonly #tlsAgent: TlsAgent;
  readonly #idleMs: number;
  readonly #onlyTls: boolean;

  /** @param onlyTls whether links without TLS are refused, because the server was called with it */
  constructor(options: {
    readonly tls: TlsOptions;
    readonly parallel: number;
    readonly idleMs: number;
    readonly onlyTls: boolean;
  }) {
    const { tls, parallel, idleMs, onlyTls } = options;
    this.#agent = new Agent({ keepAlive: true, maxSockets: parallel });
    this.#tlsAgent = new TlsAgent({ keepAlive: true, maxSockets: parallel, ...tls });
    this.#idleMs = idleMs;
    this.#onlyTls = onlyTls;
  }

  /**
   * Fetches what a sink lacks. Only a sink's errors and the signal's reason are thrown.
   *
   * Bytes are never added to those of another version: the range is asked for only if the strong ETag is still the
   * same, and an answer that is about something else is either taken from its beginning or not at all.
   */
  async fetch(link: string, sink: Sink, signal: AbortSignal): Promise<FetchOutcome> {
    signal.throwIfAborted();
    if (sink.length > 0 && sink.etag === undefined) await sink.begin(undefined);
    let uri = link;
    for (let redirects = 0; ; redirects++) {
      signal.throwIfAborted();
      const problem = this.#problemOf(uri);
      if (problem !== undefined) return { outcome: "refused", text: problem };
      const connection = new Connection(this.#idleMs, signal);
      try {
        const response = await this.#request(new URL(uri), sink, connection);
        const status = response.statusCode ?? 0;
        if (!redirectStatuses.has(status)) return await received(response, sink, connection);
        const target = redirectTarget(uri, response.headers.location);
        if (target === undefined || redirects === maxRedirects) {
          return { outcome: "refused", text: `the link leads elsewhere (${status})` };
        }
        uri = target;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ConnectionError)) throw error;
        return { outcome: "broken", cause: connection.cause ?? error.cause };
      } finally {
        connection.close();
      }
    }
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    this.#tlsAgent.destroy();
  }

  #problemOf(uri: string): string | undefined {
    const protocol = URL.canParse(uri) ? new URL(uri).protocol : undefined;
    if (protocol === "https:") return undefined;
    if (protocol !== "http:") return "the link is not one of HTTP";
    return this.#onlyTls ? "the link is without TLS, unlike the server's address" : undefined;
  }

  #request(uri: URL, sink: Sink, connection: Connection): Promise<IncomingMessage> {
    const { length, etag } = sink;
    const headers = {
      // Anything else would make ranges those of compressed bytes.
      "accept-encoding": "identity",
      ...(length > 0 && { range: `bytes=${length}-`, "if-range": etag }),
    };
    const [send, agent] =
      uri.protocol === "https:" ? [getOverTls, this.#tlsAgent] : ([get, this.#agent] as const);
    return new Promise((resolve, reject) => {
      const request = send(uri, { agent, headers });
      connection.open((error) => request.destroy(error));
      // More than one may come, and none may be without a listener.
      request.on("error", (error) => reject(new ConnectionError(error)));
      request.once("response", (response) => {
        // Its reader is told, if it has one.
        response.on("error", () => {});
        connection.open((error) => response.destroy(error));
        resolve(response);
      });
    });
  }
}

/** What happened on the way, as opposed to what happened to the sink. */
class ConnectionError extends Error {
  override readonly cause: Error;

  constructor(cause: Error) {
    super("the connection broke");
    this.cause = cause;
  }
}

/** One request and its answer, which end when nothing comes for long or the signal is aborted. */
class Connection {
  readonly #signal: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  readonly #abort = () => this.#destroy(new Error("aborted"));
  #destroy: (error: Error) => void = () => {};
  /** Whether it is the sink that is waited for. */
  #busy = false;
  /** Why it was ended from here, if it was. */
  cause: Error | undefined;

  constructor(idleMs: number, signal: AbortSignal) {
    this.#signal = signal;
    this.#timer = setTimeout(() => {
      if (this.#busy) return void this.#timer.refresh();
      this.cause = new Error(`nothing came for ${idleMs / 1000} s`);
      this.#destroy(this.cause);
    }, idleMs);
    signal.addEventListener("abort", this.#abort);
  }

  /** @param destroy ends it */
  open(destroy: (error: Error) => void): void {
    this.#destroy = destroy;
  }

  /** Something came. */
  touch(): void {
    this.#timer.refresh();
  }

  async whileBusy(work: Promise<void>): Promise<void> {
    this.#busy = true;
    await work;
    this.#busy = false;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#signal.removeEventListener("abort", this.#abort);
    this.#destroy(new Error("closed"));
  }
}

async function received(
  response: IncomingMessage,
  sink: Sink,
  connection: Connection,
): Promise<FetchOutcome> {
  const { headers } = response;
  const status = response.statusCode ?? 0;
  if (goneStatuses.has(status)) return { outcome: "gone", status };
  if (status >= 500 || status === 408 || status === 429) {
    return { outcome: "unavailable", status, retryAfterMs: retryAfterMs(headers["retry-after"]) };
  }
  if (status === 416) return await startOver(sink, "the range that is missing is none of the file");
  if (status !== 200 && status !== 206) return { outcome: "refused", text: `the link answers ${status}` };
  if ((headers["content-encoding"] ?? "identity") !== "identity") {
    return { outcome: "refused", text: `the file comes as ${headers["content-encoding"]}` };
  }
  const etag = strongTag(headers.etag);
  if (status === 200) await sink.begin(etag);
  else if (!isRest(headers["content-range"], sink) || (etag ?? sink.etag) !== sink.etag) {
    return await startOver(sink, "another part came than was asked for");
  }
  if (!(await drained(response, sink, connection))) {
    return await startOver(sink, "more came than the file has");
  }
  if (sink.length < sink.size) return broken("the answer ended too early");
  return { outcome: "complete" };
}

/**
 * Reads the body into the sink. Resolves with whether all of it had room there. By events: an iterator takes a third
 * more of the processor's time for a large file.
 */
function drained(response: IncomingMessage, sink: Sink, connection: Connection): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(new ConnectionError(error));
    response.on("data", (chunk: Buffer) => {
      connection.touch();
      if (chunk.length > sink.size - sink.length) {
        response.removeAllListeners("data").pause();
        resolve(false);
        return;
      }
      try {
        const room = sink.write(chunk);
        if (room === undefined) return;
        response.pause();
        connection.whileBusy(room).then(() => response.resume(), reject);
      } catch (error) {
        response.removeAllListeners("data").pause();
        reject(error);
      }
    });
    response.on("end", () => resolve(true));
    response.on("error", failed);
    const closed = () => failed(new Error("the connection was closed"));
    response.on("close", closed);
    // What was ended while the sink was made ready tells of it no more.
    if (response.destroyed) closed();
  });
}

async function startOver(sink: Sink, text: string): Promise<FetchOutcome> {
  await sink.begin(undefined);
  return broken(text);
}

function broken(text: string): FetchOutcome {
  return { outcome: "broken", cause: new Error(text) };
}

/** Whether a `Content-Range` is that of all that the sink lacks, up to its end or less far. */
function isRest(contentRange: string | undefined, { length, size }: Sink): boolean {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(contentRange ?? "") ?? [];
  return start === String(length) && (total === String(size) || total === "*");
}

/** Weak tags do not tell bytes apart (RFC 9110, section 8.8.1). */
function strongTag(etag: string | undefined): string | undefined {
  return etag?.startsWith('"') ? etag : undefined;
}

/** @see RFC 9110, section 10.2.3 */
function retryAfterMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

/** Where a redirect leads to, if that is the same origin: nobody else was named by the server. */
function redirectTarget(from: string, location: string | undefined): string | undefined {
  if (location === undefined || !URL.canParse(location, from)) return undefined;
  const target = new URL(location, from);
  return target.origin === new URL(from).origin ? target.href : undefined;
}
