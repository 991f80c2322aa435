import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  request as openRequest,
  type RequestOptions,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** How the body of a download ends early. */
export type Cut =
  /** By a reset of the connection. */
  | "reset"
  /** By a clean end of the connection, before all that Content-Length promised was sent. */
  | "close"
  /** As a proxy can that speaks of lengths itself: a chunked body, whole in all that HTTP can tell. */
  | "chunked end";

/** A place in a file at which bodies stop until the test says that they may go on. */
export interface Hold {
  /** How many bodies stand there. */
  readonly waiting: number;
  /** From now on nothing stops here. */
  release(): void;
}

/** A download that went through. */
export interface Relayed {
  readonly status: number;
  /** As the link tells them. */
  readonly sessionId: string;
  readonly fileName: string;
  /** Where in the file the body began. */
  readonly from: number;
  /** Bytes of the body that the client was sent so far. */
  readonly bytes: number;
}

/**
 * An HTTP/1.1 proxy that does to downloads what bad networks, disks and proxies do; other calls pass through
 * unchanged. Places are counted from the beginning of the file, whatever range is asked for.
 */
export interface FaultyProxy extends AsyncDisposable {
  /** `http://host:port` */
  readonly url: string;
  /** `http://host:port` of the service behind it; may be set. */
  upstream: string;
  /** Bytes of each body in a second; may be set, also while bodies are on their way. */
  bytesPerSecond: number;
  /** Status with which all calls are answered instead of being passed on; undefined: none. */
  answerAllWith: number | undefined;
  /** In the order in which they were answered. */
  readonly downloads: readonly Relayed[];
  /** Bytes of bodies that clients were sent so far. */
  readonly bytesRelayed: number;
  /** How many bodies were changed or cut. */
  readonly struck: number;
  /** How many calls were answered by `answerAllWith`. */
  readonly refused: number;
  hold(at: number): Hold;
  /** Changes the byte at this place, in so many bodies. @param times every time by default */
  flip(at: number, times?: number): void;
  /** Ends so many bodies before the byte at this place. @param times every time by default */
  cut(at: number, how: Cut, times?: number): void;
  /** Lets everything through unchanged. */
  heal(): void;
  stop(): Promise<void>;
}

interface Flip {
  readonly kind: "flip";
  readonly at: number;
  left: number;
}
interface CutAt {
  readonly kind: "cut";
  readonly at: number;
  readonly how: Cut;
  left: number;
}
interface HoldAt {
  readonly kind: "hold";
  readonly at: number;
  waiting: number;
  readonly released: Promise<void>;
  readonly release: () => void;
}
type Fault = Flip | CutAt | HoldAt;

type Download = { -readonly [Key in keyof Relayed]: Relayed[Key] };

/** Small enough for a pace that looks even. */
const pieceBytes = 64 * 1024;

export async function startFaultyProxy(upstream: string): Promise<FaultyProxy> {
  const proxy = new HttpProxy(upstream);
  await proxy.listen();
  return proxy;
}

class HttpProxy implements FaultyProxy {
  upstream: string;
  bytesPerSecond = Number.POSITIVE_INFINITY;
  answerAllWith: number | undefined;
  struck = 0;
  refused = 0;
  readonly downloads: Download[] = [];
  #faults: Fault[] = [];
  readonly #server = createServer((request, response) => void this.#relay(request, response));

  constructor(upstream: string) {
    this.upstream = upstream;
  }

  async listen(): Promise<void> {
    await once(this.#server.listen({ port: 0, host: "127.0.0.1" }), "listening");
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get bytesRelayed(): number {
    return this.downloads.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  hold(at: number): Hold {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const hold: HoldAt = { kind: "hold", at, waiting: 0, released, release };
    this.#faults.push(hold);
    return {
      get waiting() {
        return hold.waiting;
      },
      release: () => this.#remove(hold),
    };
  }

  flip(at: number, times = Number.POSITIVE_INFINITY): void {
    this.#faults.push({ kind: "flip", at, left: times });
  }

  cut(at: number, how: Cut, times = Number.POSITIVE_INFINITY): void {
    this.#faults.push({ kind: "cut", at, how, left: times });
  }

  heal(): void {
    for (const fault of [...this.#faults]) this.#remove(fault);
    this.bytesPerSecond = Number.POSITIVE_INFINITY;
    this.answerAllWith = undefined;
  }

  #remove(fault: Fault): void {
    this.#faults = this.#faults.filter((each) => each !== fault);
    if (fault.kind === "hold") fault.release();
  }

  async stop(): Promise<void> {
    this.heal();
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** What breaks behind the proxy breaks before it as well, by a reset. */
  async #relay(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    try {
      if (this.answerAllWith !== undefined) {
        this.refused++;
        request.resume();
        response.writeHead(this.answerAllWith, { "content-length": 0 }).end();
        return;
      }
      const answer = await passOn(this.upstream, request, response);
      const download = downloadOf(request, answer);
      if (download === undefined) {
        response.writeHead(answer.statusCode!, endToEnd(answer.rawHeaders));
        for await (const chunk of answer) await write(response, chunk, gone.signal);
        response.end();
        return;
      }
      this.downloads.push(download);
      await this.#body(answer, response, download, gone.signal);
    } catch {
      response.socket?.resetAndDestroy();
    }
  }

  async #body(
    answer: IncomingMessage,
    response: ServerResponse,
    download: Download,
    gone: AbortSignal,
  ): Promise<void> {
    const last = download.from + Number(answer.headers["content-length"] ?? 0);
    const faults = this.#faults.filter(({ at }) => at >= download.from && at < last);
    const cut = faults.find((fault) => fault.kind === "cut" && fault.left-- > 0) as CutAt | undefined;
    const flips = faults.filter((fault) => fault.kind === "flip" && fault.left-- > 0);
    const holds = faults.filter((fault) => fault.kind === "hold");
    const places = [...holds, ...(cut === undefined ? [] : [cut])].map(({ at }) => at);
    const headers = endToEnd(answer.rawHeaders);
    response.writeHead(
      answer.statusCode!,
      cut?.how === "chunked end" ? without(headers, "content-length") : headers,
    );
    let position = download.from;
    const stop = async (): Promise<boolean> => {
      for (const hold of holds.filter(({ at }) => at === position)) {
        hold.waiting++;
        await Promise.race([hold.released, aborted(gone)]);
        hold.waiting--;
      }
      if (cut?.at !== position) return false;
      this.struck++;
      // What was written has not left for the socket before.
      await new Promise(setImmediate);
      if (cut.how === "chunked end") response.end();
      else if (cut.how === "close") response.socket?.end();
      else response.socket?.resetAndDestroy();
      answer.destroy();
      return true;
    };
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      for (const piece of pieces(chunk, position, places)) {
        if (await stop()) return;
        for (const { at } of flips) {
          const index = at - position;
          if (index < 0 || index >= piece.length) continue;
          piece[index] = piece[index]! ^ 0x01;
          this.struck++;
        }
        await write(response, piece, gone);
        position += piece.length;
        download.bytes += piece.length;
        if (Number.isFinite(this.bytesPerSecond)) await delay((piece.length / this.bytesPerSecond) * 1_000);
      }
    }
    response.end();
  }
}

/** A connection of its own for each call, so that none is stale when the service was restarted. */
async function passOn(
  upstream: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<IncomingMessage> {
  const options: RequestOptions = {
    method: request.method!,
    headers: endToEnd(request.rawHeaders),
    agent: false,
    setHost: false,
  };
  const call = openRequest(upstream + request.url, options);
  response.once("close", () => call.destroy());
  request.once("error", () => call.destroy());
  request.pipe(call);
  // Later than the answer errors come out of reading it.
  call.on("error", () => {});
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  return answer;
}

/** Resolves when more may be written; rejects when the client has gone. */
async function write(response: ServerResponse, bytes: Uint8Array, gone: AbortSignal): Promise<void> {
  gone.throwIfAborted();
  if (!response.write(bytes)) await once(response, "drain", { signal: gone });
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, "abort");
}

/** Cut at the places, so that a fault always stands before a piece. */
function* pieces(chunk: Buffer, from: number, places: readonly number[]): Iterable<Buffer> {
  let start = 0;
  while (start < chunk.length) {
    const next = places.map((place) => place - from).filter((place) => place > start);
    const end = Math.min(chunk.length, start + pieceBytes, ...next);
    yield chunk.subarray(start, end);
    start = end;
  }
}

function downloadOf(request: IncomingMessage, answer: IncomingMessage): Download | undefined {
  const { pathname } = new URL(request.url!, "http://proxy");
  const status = answer.statusCode!;
  const isBody = request.method === "GET" && (status === 200 || status === 206);
  if (!pathname.startsWith("/download/") || !isBody) return undefined;
  const from = Number(/^bytes (\d+)-/.exec(answer.headers["content-range"] ?? "")?.[1] ?? 0);
  const [, , sessionId = "", fileName = ""] = pathname.split("/").map(decodeURIComponent);
  return { status, sessionId, fileName, from, bytes: 0 };
}

/** Headers, name after value, without those that are about a connection. */
function endToEnd(rawHeaders: readonly string[]): string[] {
  return without(rawHeaders, "connection", "keep-alive", "transfer-encoding");
}

function without(rawHeaders: readonly string[], ...names: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [name = "", value = ""] = rawHeaders.slice(index, index + 2);
    if (!names.includes(name.toLowerCase())) kept.push(name, value);
  }
  return kept;
}
