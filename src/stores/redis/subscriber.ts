import { Cluster, type Redis, type RedisOptions } from "ioredis";
import type { Logger } from "pino";
import { replaceWhenSilent } from "./heartbeat.ts";
import { missedSubscriberHeartbeats, reconnectDelayMs } from "./reconnect-policy.ts";
import type { RedisClient } from "./run-script.ts";

/** Receives what is published on a channel. */
export interface Listener {
  heard(message: string): void;
  /** Every message from now on will arrive; earlier ones may have been missed. */
  established(): void;
}

/** A listener on a channel. */
export class Subscription {
  readonly channel: string;
  readonly listener: Listener;
  /** Whether messages arrive. A connection that dies silently is noticed within a second. */
  isEstablished = false;

  constructor(channel: string, listener: Listener) {
    this.channel = channel;
    this.listener = listener;
  }
}

/**
 * Subscribes to channels, on a connection of its own that is opened with the first listener. A lost connection is
 * replaced, never revived, so that this class alone knows whether it is established. On a cluster any node will do,
 * because messages reach all of them; ioredis' own cluster subscriptions do not report when they are lost.
 */
export class Subscriber {
  readonly #client: RedisClient;
  readonly #log: Logger;
  readonly #subscriptions = new Map<string, Subscription>();
  #connection: Redis | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Connections in a row that did not become a subscription. */
  #failures = 0;
  #isRefused = false;
  #isClosed = false;

  constructor(client: RedisClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  /** Listens until the subscriber closes or `leaveChannel` is called; a channel has one listener. */
  listen(channel: string, listener: Listener): Subscription {
    const subscription = new Subscription(channel, listener);
    this.#subscriptions.set(channel, subscription);
    if (this.#connection !== undefined) this.#subscribe(this.#connection, subscription);
    else if (this.#timer === undefined) this.#connect();
    return subscription;
  }

  /** Nothing is heard on the channel afterwards. */
  leaveChannel(subscription: Subscription): void {
    subscription.isEstablished = false;
    const { channel } = subscription;
    if (this.#subscriptions.get(channel) !== subscription) return;
    this.#subscriptions.delete(channel);
    // A connection that is lost meanwhile subscribes to the others only.
    this.#connection?.unsubscribe(channel).catch(() => {});
  }

  /** Moves to where a new connection leads. */
  reconnect(): void {
    this.#connection?.disconnect();
  }

  /** Leaves a node of the cluster, which may have been removed from it and would then hear nothing. */
  leave(node: Redis): void {
    const { host, port } = this.#connection?.options ?? {};
    if (host === node.options.host && port === node.options.port) this.reconnect();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#connection?.disconnect();
  }

  readonly #connect = (): void => {
    this.#timer = undefined;
    const connection = openConnection(this.#client);
    if (connection === undefined) {
      this.#connectLater();
      return;
    }
    this.#connection = replaceWhenSilent(connection, missedSubscriberHeartbeats);
    // The connection for commands logs why Redis is unreachable.
    connection.on("error", () => {});
    connection.on("message", (channel: string, message: string) =>
      this.#subscriptions.get(channel)?.listener.heard(message),
    );
    // The socket closes first; ioredis emits "end" in a later turn.
    connection.once("close", this.#lost);
    connection.once("end", () => {
      this.#lost();
      this.#connection = undefined;
      this.#connectLater();
    });
    for (const subscription of this.#subscriptions.values()) this.#subscribe(connection, subscription);
  };

  #connectLater(): void {
    if (!this.#isClosed) this.#timer = setTimeout(this.#connect, reconnectDelayMs(++this.#failures)).unref();
  }

  readonly #lost = (): void => {
    for (const subscription of this.#subscriptions.values()) subscription.isEstablished = false;
  };

  #subscribe(connection: Redis, subscription: Subscription): void {
    connection.subscribe(subscription.channel).then(
      () => {
        if (connection !== this.#connection || connection.status !== "ready") return;
        if (this.#subscriptions.get(subscription.channel) !== subscription) return;
        this.#failures = 0;
        this.#isRefused = false;
        subscription.isEstablished = true;
        subscription.listener.established();
      },
      (error: Error) => {
        if (error.name === "ReplyError") this.#refused(subscription, error);
        connection.disconnect();
      },
    );
  }

  /** Redis has access rules for channels (https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/). */
  #refused({ channel }: Subscription, { message }: Error): void {
    if (this.#isRefused) return;
    this.#isRefused = true;
    this.#log.warn(
      { channel, reason: message },
      "Redis refuses a subscription; without it sessions and logins are read from Redis more often",
    );
  }
}

/** Undefined while no node of the cluster is known. */
function openConnection(client: RedisClient): Redis | undefined {
  const options: RedisOptions = {
    connectionName: "downlease-subscriber",
    enableOfflineQueue: true,
    lazyConnect: false,
    // One attempt: this class decides about the next.
    retryStrategy: () => null,
  };
  if (!(client instanceof Cluster)) return client.duplicate(options);
  const nodes = client.nodes("master");
  return nodes[Math.floor(Math.random() * nodes.length)]?.duplicate(options);
}
