import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/**
 * What a connection does with bytes.
 *
 * - `pass`: forwards them.
 * - `swallow`: drops them in both directions, as a firewall does that forgot the connection. Nothing is closed.
 * - `deaf`: forwards commands and drops the answers.
 * - `slow`: forwards them `slowMs` later, in each direction.
 */
export type ProxyMode = "pass" | "swallow" | "deaf" | "slow";

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  mode: ProxyMode;
  /** Whether it carries messages of channels. */
  isSubscriber: boolean;
}

/** A TCP proxy on a loopback port in front of one server, whose connections can be made to fail in silence. */
export class RedisProxy implements AsyncDisposable {
  readonly #target: number;
  readonly #slowMs: number;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #modeOfNew: ProxyMode = "pass";

  private constructor(target: number, slowMs: number) {
    this.#target = target;
    this.#slowMs = slowMs;
    this.#server = createServer((client) => this.#open(client));
  }

  static async start(target: number, slowMs = 350): Promise<RedisProxy> {
    const proxy = new RedisProxy(target, slowMs);
    await once(proxy.#server.listen(0, "127.0.0.1"), "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** For connections that there are, and those that come. */
  setAll(mode: ProxyMode): void {
    this.#modeOfNew = mode;
    for (const pair of this.#pairs) pair.mode = mode;
  }

  /** Only for connections that come; the others stay as they are. */
  setNew(mode: ProxyMode): void {
    this.#modeOfNew = mode;
  }

  /** Only for connections that there are and that have subscribed to something. */
  setSubscribers(mode: ProxyMode): void {
    for (const pair of this.#pairs) if (pair.isSubscriber) pair.mode = mode;
  }

  /** Resets every connection. */
  reset(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
    await closed;
  }

  #open(client: Socket): void {
    const server = connect(this.#target, "127.0.0.1");
    const pair: Pair = { client, server, mode: this.#modeOfNew, isSubscriber: false };
    this.#pairs.add(pair);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.setNoDelay(true);
      const pass = this.#forward(pair, from, to);
      from.on("data", pass);
      // A connection that is swallowed does not learn of the other side's end either.
      from.on("error", () => {});
      from.on("close", () => {
        if (pair.mode !== "swallow" || from === client) to.destroy();
        if (client.destroyed && server.destroyed) this.#pairs.delete(pair);
      });
    }
  }

  /** Late bytes go out in their order, also when the mode has changed meanwhile. */
  #forward(pair: Pair, from: Socket, to: Socket): (bytes: Buffer) => void {
    const late: { readonly at: number; readonly bytes: Buffer }[] = [];
    const flush = () => {
      while (late.length > 0 && late[0]!.at <= performance.now()) {
        const { bytes } = late.shift()!;
        if (to.writable) to.write(bytes);
      }
      if (late.length > 0) setTimeout(flush, Math.max(1, late[0]!.at - performance.now()));
    };
    return (bytes) => {
      if (from === pair.client && /\bs?subscribe\b/i.test(bytes.toString("latin1"))) pair.isSubscriber = true;
      if (pair.mode === "swallow" || (pair.mode === "deaf" && from === pair.server)) return;
      const wait = pair.mode === "slow" ? this.#slowMs : 0;
      if (wait === 0 && late.length === 0) {
        if (to.writable) to.write(bytes);
        return;
      }
      late.push({ at: Math.max(performance.now() + wait, late.at(-1)?.at ?? 0), bytes });
      if (late.length === 1) setTimeout(flush, Math.max(1, wait));
    };
  }
}
