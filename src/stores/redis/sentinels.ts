import { setTimeout as delay } from "node:timers/promises";
import type { Redis } from "ioredis";
import { type Address, addressOf, Connector, resetConnection } from "./connector.ts";
import { replaceWhenSilent } from "./heartbeat.ts";
import { reconnectDelayMs, sentinelPollMs } from "./reconnect-policy.ts";

interface Opinion extends Address {
  readonly epoch: number;
}

/** After this time without confirmation an opinion no longer counts: the sentinels may have been set up again. */
const opinionMs = 60_000;

/**
 * The sentinels of one master. All of them are asked, and the newest opinion counts, which is the one with the highest
 * configuration epoch: a sentinel that was cut off or frozen goes on to name the former master for a while.
 */
export class Sentinels {
  readonly #master: string;
  readonly #open: (address: Address) => Redis;
  readonly #configured: ReadonlySet<string>;
  readonly #connections = new Map<string, Redis>();
  #lastError: Error | undefined;
  #newest: Opinion | undefined;
  /** When a sentinel last had the newest opinion, by `performance.now()`. */
  #confirmedAt = 0;

  /** @param addresses of some sentinels; the others are found by asking these */
  constructor(master: string, addresses: readonly Address[], open: (address: Address) => Redis) {
    this.#master = master;
    this.#open = open;
    this.#configured = new Set(addresses.map(textOf));
    for (const address of addresses) this.#connect(address);
  }

  /** Rejects when no sentinel answers, or none knows the master. */
  async locateMaster(): Promise<Address> {
    const answers = await Promise.allSettled([...this.#connections.values()].map((each) => this.#ask(each)));
    const opinions = answers.filter((answer) => answer.status === "fulfilled").map(({ value }) => value);
    if (opinions.length === 0) {
      const [refused] = answers.filter((answer) => answer.status === "rejected").map(({ reason }) => reason);
      // A command without a connection fails for no reason of its own.
      const reason = refused?.name === "ReplyError" ? refused : (this.#lastError ?? refused);
      throw new Error(`no sentinel names the master ${this.#master}: ${reason?.message}`);
    }
    this.#followChanges(opinions.flatMap(({ others }) => others));
    const newest = opinions.map(({ opinion }) => opinion).reduce((a, b) => (b.epoch > a.epoch ? b : a));
    const now = performance.now();
    if (
      this.#newest !== undefined &&
      newest.epoch < this.#newest.epoch &&
      now - this.#confirmedAt < opinionMs
    ) {
      return this.#newest;
    }
    this.#confirmedAt = now;
    this.#newest = newest;
    return newest;
  }

  /** Drops a connection to a master that is none any more. It may not know that yet, and would go on taking writes. */
  follow(redis: Redis): Redis {
    const timer = setInterval(async () => {
      const master = await this.locateMaster().catch(() => undefined);
      const current = addressOf(redis);
      if (master === undefined || current === undefined || textOf(master) === textOf(current)) return;
      if (redis.status !== "connect" && redis.status !== "ready") return;
      redis.emit("error", new Error("another server is the master now"));
      resetConnection(redis);
    }, sentinelPollMs).unref();
    return redis.once("end", () => {
      clearInterval(timer);
      this.close();
    });
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.disconnect();
  }

  async #ask(sentinel: Redis): Promise<{ opinion: Opinion; others: Address[] }> {
    // In this order: an address is never older than its epoch.
    const [state, address, others] = await Promise.all([
      sentinel.call("SENTINEL", "MASTER", this.#master),
      sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", this.#master),
      sentinel.call("SENTINEL", "SENTINELS", this.#master),
    ]);
    const [host, port] = address as string[];
    return {
      opinion: { host: host!, port: Number(port), epoch: Number(fieldsOf(state)["config-epoch"]) },
      others: (others as unknown[]).map(fieldsOf).map(({ ip, port }) => ({ host: ip!, port: Number(port) })),
    };
  }

  /** Connects to sentinels that others name, and forgets those that nobody names any more. */
  #followChanges(named: readonly Address[]): void {
    const texts = new Set(named.map(textOf));
    for (const [text, connection] of this.#connections) {
      if (texts.has(text) || this.#configured.has(text) || connection.status === "ready") continue;
      connection.disconnect();
      this.#connections.delete(text);
    }
    for (const address of named) this.#connect(address);
  }

  #connect(address: Address): void {
    const text = textOf(address);
    if (this.#connections.has(text)) return;
    const connection = this.#open(address);
    connection.on("error", (error) => {
      this.#lastError = error;
    });
    this.#connections.set(text, replaceWhenSilent(connection));
  }
}

function textOf({ host, port }: Address): string {
  return `${host} ${port}`;
}

function fieldsOf(reply: unknown): Readonly<Record<string, string | undefined>> {
  const texts = reply as string[];
  return Object.fromEntries(
    texts.flatMap((name, index) => (index % 2 === 0 ? [[name, texts[index + 1]]] : [])),
  );
}

/** A connector to the server that the sentinels name. Goes on asking until one answers. */
export function connectorToMaster(sentinels: Sentinels): typeof Connector {
  return class extends Connector {
    protected override async locate(reportError: (type: string, error: Error) => void): Promise<Address> {
      for (let attempt = 1; this.connecting; attempt++) {
        try {
          return await sentinels.locateMaster();
        } catch (error) {
          reportError("error", error as Error);
          await delay(reconnectDelayMs(attempt));
        }
      }
      throw new Error("Connection is closed.");
    }
  };
}
