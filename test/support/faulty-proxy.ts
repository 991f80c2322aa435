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

/** Ways in which the body of a download ends early. */
export type Cut =
  /** By a reset of the connection. */
  | "reset"
  /** By a clean end of the connection before the whole Content-Length was sent. */
  | "close"
  /** By the end of a chunked body, as from a proxy that changes the framing: complete as far as HTTP can say. */
  | "chunked end";

/** A position in a file at which bodies stall until the test releases them. */
export interface Hold {
  /** Number of bodies that are stalled. */
  readonly waiting: number;
  /** Lets all bodies pass from now on. */
  release(): void;
}

/** A download that was relayed. */
export interface Relayed {
  readonly status: number;
  /** From the path of the link. */
  readonly sessionId: string;
  readonly fileName: string;
  /** Position in the file at which the body began. */
  readonly from: number;
  /** Bytes of the body that were sent to the client so far. */
  readonly bytes: number;
}

/**
 * An HTTP/1.1 proxy that damages downloads as bad networks, disks and proxies do. Other calls pass through unchanged.
 * Positions count from the beginning of the file, also for range requests.
 */
export interface FaultyProxy extends AsyncDisposable {
  /** `http://host:port` */
  readonly url: string;
  /** `http://host:port` of the service behind it; may be set. */
  upstream: string;
  /** Rate of each body; may be set at any time. */
  bytesPerSecond: number;
  /** Status to answer all calls with instead of relaying them; undefined to relay. */
  answerAllWith: number | undefined;
  /** In the order of their responses. */
  readonly downloads: readonly Relayed[];
  /** Bytes of all bodies that were sent to clients so far. */
  readonly bytesRelayed: number;
  /** Number of bodies that were changed or cut. */
  readonly struck: number;
  /** Number of calls that were answered with `answerAllWith`. */
  readonly refused: number;
  hold(at: number): Hold;
  /** Changes the byte at this position. @param times number of bodies; all by default */
  flip(at: number, times?: number): void;
  /** Ends bodies before the byte at this position. @param times number of bodies; all by default */
  cut(at: number, how: Cut, times?: number): void;
  /** Removes all faults. */
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

/** Small enough for an even rate. */
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

  /** Passes a failure of the upstream connection on to the client as a reset. */
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
      const answer = await relayRequest(this.upstream, request, response);
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
    const positions = [...holds, ...(cut === undefined ? [] : [cut])].map(({ at }) => at);
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
      // Bytes that were written reach the socket only now.
      await new Promise(setImmediate);
      if (cut.how === "chunked end") response.end();
      else if (cut.how === "close") response.socket?.end();
      else response.socket?.resetAndDestroy();
      answer.destroy();
      return true;
    };
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      for (const piece of pieces(chunk, position, positions)) {
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

/** Relays a request over a new connection, so that none is stale after a restart of the service. */
async function relayRequest(
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
  // Errors after the response show when its body is read.
  call.on("error", () => {});
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  return answer;
}

/** Resolves when more may be written; rejects if the client has disconnected. */
async function write(response: ServerResponse, bytes: Uint8Array, gone: AbortSignal): Promise<void> {
  gone.throwIfAborted();
  if (!response.write(bytes)) await once(response, "drain", { signal: gone });
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, "abort");
}

/** Splits a chunk at the positions, so that a fault is always at the start of a piece. */
function* pieces(chunk: Buffer, from: number, positions: readonly number[]): Iterable<Buffer> {
  let start = 0;
  while (start < chunk.length) {
    const next = positions.map((position) => position - from).filter((position) => position > start);
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

/** Raw headers without those that concern one connection. */
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
