/** Outcome of a heartbeat: renewed, turned away with UNAVAILABLE or 503, or anything else. */
export type Outcome = "accepted" | "unavailable" | "failed";

/** Makes one call of one caller, never two at a time; rejects when the connection is lost. */
export type DriverCall = () => Promise<Outcome>;

export type Header = readonly [name: string, value: string];

export interface Target {
  readonly port: number;
  /** Sessions to keep alive; each heartbeat takes one of them at random. */
  readonly sessionIds: readonly string[];
  readonly callers: number;
  /** Additional headers of every call, for authentication. Names in lower case. */
  readonly headers?: readonly Header[] | undefined;
}

export interface OpenDriver {
  /** One for each caller. */
  readonly calls: readonly DriverCall[];
  close(): void;
}

/**
 * A protocol as its clients use it. The drivers have their own HTTP clients on raw sockets for two reasons. The
 * generator has to cost less than what it measures, and Node's HTTP/2 client costs more than the servers here. And each
 * answer has to be checked: a refused gRPC call has HTTP status 200 and its result in the `grpc-status` trailer, which
 * h2load does not read, so a server that fails fast would win.
 */
export interface Driver {
  readonly name: string;
  /** Heartbeats per call. */
  readonly heartbeats: number;
  open(target: Target): Promise<OpenDriver>;
}

/** Progress that every heartbeat reports. */
export const progress = 10;

export function randomOf<T>(values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)]!;
}
