/** More connections of a file are refused. */
export const maxConnections = 16;

/** Connections that a file gets at most unless their number is set. */
const maxChosen = 4;

/** @throws TypeError if a number of connections is invalid */
export function checkConnections(connections: number | undefined): void {
  if (connections === undefined) return;
  if (Number.isInteger(connections) && connections >= 1 && connections <= maxConnections) return;
  throw new TypeError(`connections must be 1 to ${maxConnections}`);
}

export interface ConnectionNumbers {
  /** Files that are downloaded at the same time. */
  readonly parallel: number;
  /** Connections of a file; undefined to choose them by what the line is like, up to four. */
  readonly connections: number | undefined;
}

/**
 * Counts the connections of a download. Each file that is downloaded has one. Large files take further ones, but only
 * while few are in use: so files that are downloaded at the same time share the connections, and the last one may get all.
 */
export class ConnectionPool {
  /** Connections that a file gets at most. */
  readonly perFile: number;
  /** Whether a file gets further connections only if they pay. */
  readonly isChosen: boolean;
  /** Connections at a time, each file's first one included. */
  readonly max: number;
  readonly #limit: number;
  #used = 0;

  constructor({ parallel, connections }: ConnectionNumbers) {
    this.perFile = connections ?? maxChosen;
    this.isChosen = connections === undefined;
    this.max = parallel + this.perFile - 1;
    this.#limit = Math.max(parallel, this.perFile);
  }

  /** Takes the first connection of a file; `leave` frees it. */
  enter(): void {
    this.#used += 1;
  }

  /** Takes a further connection of a file. Returns false if enough are in use. */
  enterFurther(): boolean {
    if (this.#used >= this.#limit) return false;
    this.#used += 1;
    return true;
  }

  leave(): void {
    this.#used -= 1;
  }
}
