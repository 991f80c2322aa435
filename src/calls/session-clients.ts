import { LRUCache } from "lru-cache";
import type { ClientAddressOf, Requester } from "./client-address.ts";
import { RecordedAddresses } from "./recorded-addresses.ts";
import { copyOf } from "./text-copy.ts";

/**
 * Addresses that wait to be recorded; those of further sessions are left to their next calls. A small part of the calls
 * of a second, in case that more sessions call than are known.
 */
const maxWaiting = 2_000;
/** Pause before addresses are recorded, in milliseconds. */
const pauseMs = 1_000;

/** Where the last call for a session came from. */
interface Client {
  readonly address: string;
  /** What the address was read from, as far as it is known. */
  readonly peer?: string | undefined;
  readonly forwarded?: string | undefined;
  readonly forwardedFor?: string | undefined;
}

export interface SessionClientsOptions {
  readonly clientAddressOf: ClientAddressOf;
  /** Records addresses in the store, by session id. */
  readonly record: (addresses: ReadonlyMap<string, string>) => Promise<void>;
  /** Sessions whose last client is remembered; of others it is known which address is recorded. 100,000 by default. */
  readonly maxRemembered?: number;
}

/**
 * The clients that hold sessions, for operators. The addresses of a second are recorded together, in the background, and
 * only those that have changed: a keep-alive waits for nothing, and costs a look-up in this process.
 */
export class SessionClients {
  readonly #clientAddressOf: ClientAddressOf;
  readonly #record: SessionClientsOptions["record"];
  readonly #clients: LRUCache<string, Client>;
  /** From when there are more sessions than are remembered. */
  #recorded: RecordedAddresses | undefined;
  #waiting = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor({ clientAddressOf, record, maxRemembered = 100_000 }: SessionClientsOptions) {
    this.#clients = new LRUCache({ max: maxRemembered });
    this.#clientAddressOf = clientAddressOf;
    this.#record = record;
  }

  /** A call has renewed the session's lease. */
  called(sessionId: string, call: Requester): void {
    const client = this.#clients.get(sessionId);
    const { peer } = call.connection;
    const { forwarded, "x-forwarded-for": forwardedFor } = call.headers;
    // The address itself takes longer to find.
    const isSame =
      client !== undefined &&
      client.peer === peer &&
      client.forwarded === forwarded &&
      client.forwardedFor === forwardedFor;
    if (isSame) return;
    const address = this.#clientAddressOf(call);
    const origin = { peer, forwarded: copied(forwarded), forwardedFor: copied(forwardedFor) };
    this.#remember(sessionId, client, { address, ...origin });
  }

  /** Something else has, from this address. */
  calledFrom(sessionId: string, address: string): void {
    const client = this.#clients.get(sessionId);
    if (client?.address !== address) this.#remember(sessionId, client, { address });
  }

  addressOf(call: Requester): string {
    return this.#clientAddressOf(call);
  }

  /** Records what waits. Never rejects. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#recordWaiting();
  }

  #remember(sessionId: string, before: Client | undefined, client: Client): void {
    // A connection that is closed already has no address.
    if (client.address === "") return;
    const { address } = client;
    const isNew =
      before === undefined ? this.#recorded?.has(sessionId, address) !== true : before.address !== address;
    if (isNew && this.#waiting.size >= maxWaiting) return;
    const id = copyOf(sessionId);
    this.#clients.set(id, client);
    if (this.#clients.size === this.#clients.max) this.#recorded ??= new RecordedAddresses();
    if (!isNew) return;
    this.#recorded?.set(id, address);
    this.#waiting.set(id, address);
    this.#timer ??= setTimeout(() => void this.#recordWaiting(), pauseMs).unref();
  }

  async #recordWaiting(): Promise<void> {
    this.#timer = undefined;
    if (this.#waiting.size === 0) return;
    const waiting = this.#waiting;
    this.#waiting = new Map();
    try {
      await this.#record(waiting);
    } catch {
      // While the store does not answer, the next calls try again.
      for (const id of waiting.keys()) {
        this.#clients.delete(id);
        this.#recorded?.delete(id);
      }
    }
  }
}

function copied(header: string | string[] | undefined): string | undefined {
  return typeof header === "string" ? copyOf(header) : undefined;
}
