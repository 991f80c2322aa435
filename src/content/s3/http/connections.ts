import { validateHeaderValue } from "node:http";
import { type Answer, NoAnswer, readAnswer } from "./answer.ts";
import { Connection, type Origin, timeout } from "./connection.ts";

/** A request without a body, as the SDK makes them. */
export interface Request {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  /** Percent-encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ConnectionLimits {
  /** How long a connection may take, and an answer, in milliseconds. */
  readonly connectMs: number;
  readonly attemptMs: number;
}

/** Connections that no request uses, and how long each is kept, in milliseconds. */
const maxUnused = 256;
const unusedMs = 10_000;

/** Connections over HTTP/1.1 for requests whose bodies are large. */
export class Connections {
  readonly #limits: ConnectionLimits;
  /** The latest is last. */
  readonly #unused = new Map<string, Connection[]>();
  #unusedCount = 0;
  /** Of TLS, by origin. */
  readonly #sessions = new Map<string, Buffer>();

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /**
   * Sends a request and resolves with its answer.
   *
   * @param signal ends the request until it has its answer
   */
  async send(request: Request, signal: AbortSignal): Promise<Answer> {
    const origin = originOf(request);
    const text = textOf(request);
    for (;;) {
      signal.throwIfAborted();
      const used = this.#takeUnused(origin);
      try {
        return await this.#exchange(used ?? this.#connect(origin), origin, text, signal);
      } catch (reason) {
        // The server closed it before it got the request.
        if (used !== undefined && reason instanceof NoAnswer) continue;
        throw reason instanceof NoAnswer ? reason.cause : reason;
      }
    }
  }

  async #exchange(
    connection: Connection,
    origin: Origin,
    text: string,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { attemptMs } = this.#limits;
    const abort = () => connection.destroy(signal.reason);
    const late = () => connection.destroy(timeout(`no answer within ${attemptMs} ms`));
    signal.addEventListener("abort", abort, { once: true });
    const timer = setTimeout(late, attemptMs);
    try {
      connection.write(text);
      return await readAnswer(connection, () => this.#keep(connection, origin));
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }

  #connect(origin: Origin): Connection {
    const key = keyOf(origin);
    return new Connection({
      ...origin,
      connectMs: this.#limits.connectMs,
      session: this.#sessions.get(key),
      onSession: (session) => this.#sessions.set(key, session),
      onOver: (connection, hasFailed) => {
        this.#forget(connection, key);
        // Others may lead to the same host, which may be gone without a word.
        if (hasFailed) this.#closeUnused();
      },
    });
  }

  #closeUnused(): void {
    for (const connection of [...this.#unused.values()].flat()) connection.destroy();
    this.#unused.clear();
    this.#unusedCount = 0;
  }

  #takeUnused(origin: Origin): Connection | undefined {
    const connection = this.#unused.get(keyOf(origin))?.pop();
    if (connection !== undefined) this.#unusedCount--;
    return connection;
  }

  #keep(connection: Connection, origin: Origin): void {
    if (connection.isClosed) return;
    if (this.#unusedCount >= maxUnused) {
      connection.destroy();
      return;
    }
    connection.rest(unusedMs);
    const key = keyOf(origin);
    const connections = this.#unused.get(key) ?? [];
    this.#unused.set(key, connections);
    connections.push(connection);
    this.#unusedCount++;
  }

  #forget(connection: Connection, key: string): void {
    const connections = this.#unused.get(key);
    const at = connections?.indexOf(connection) ?? -1;
    if (at < 0) return;
    connections!.splice(at, 1);
    this.#unusedCount--;
    if (connections!.length === 0) this.#unused.delete(key);
  }
}

function originOf({ protocol, hostname, port }: Request): Origin {
  return { protocol, hostname, port: port ?? (protocol === "https:" ? 443 : 80) };
}

function keyOf({ protocol, hostname, port }: Origin): string {
  return `${protocol}//${hostname}:${port}`;
}

function textOf({ method, path, query = {}, headers }: Request): string {
  const parameters = Object.entries(query).flatMap(([name, values]) =>
    [values ?? ""].flat().map((value) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`),
  );
  const target = parameters.length === 0 ? path : `${path}?${parameters.join("&")}`;
  const lines = Object.entries(headers).map(([name, value]) => {
    validateHeaderValue(name, value);
    return `${name}: ${value}\r\n`;
  });
  return `${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n`;
}
