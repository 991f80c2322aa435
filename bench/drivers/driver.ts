/** How a heartbeat ended: renewed, turned away with UNAVAILABLE or 503, or anything else. */
export type Outcome = "accepted" | "unavailable" | "failed";

/** One call of one caller, over before the next; rejects when its connection is gone. */
export type Beat = () => Promise<Outcome>;

export type Header = readonly [name: string, value: string];

export interface Target {
  readonly port: number;
  /** Sessions to keep alive; each heartbeat takes one of them at random. */
  readonly sessionIds: readonly string[];
  readonly callers: number;
  /** What every call carries besides, to show who is calling. Names in lower case. */
  readonly headers?: readonly Header[] | undefined;
}

export interface OpenDriver {
  /** One for each caller. */
  readonly beats: readonly Beat[];
  close(): void;
}

/**
 * A protocol as its clients use it. Drivers write to raw sockets, because the generator has to cost less than what
 * it measures: Node's own HTTP/2 client costs more than the servers here.
 */
export interface Driver {
  readonly name: string;
  /** Heartbeats that a call carries. */
  readonly heartbeats: number;
  open(target: Target): Promise<OpenDriver>;
}

/** Progress that every heartbeat tells. */
export const progress = 10;

export function randomOf<T>(values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)]!;
}
