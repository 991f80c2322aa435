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
 * Shares the connections of a download out to its files. Each file that is downloaded has one; large files take further
 * ones that are left over, so that the last file may get all.
 */
export class ConnectionPool {
  /** Connections that a file gets at most. */
  readonly perFile: number;
  /** Whether a file gets further connections only if they pay. */
  readonly isChosen: boolean;
  /** Connections at a time. */
  readonly max: number;
  readonly #parallel: number;
  #files = 0;
  #further = 0;

  constructor({ parallel, connections }: ConnectionNumbers) {
    this.perFile = connections ?? maxChosen;
    this.isChosen = connections === undefined;
    this.max = Math.max(parallel, this.perFile);
    this.#parallel = parallel;
  }

  /** @param files that are to be downloaded */
  begin(files: number): void {
    this.#files = files;
  }

  /** A file is complete, or has failed. */
  endFile(): void {
    this.#files -= 1;
  }

  /** Takes a further connection for a file, until `leaveFurther`. Returns false if all are taken or kept for other files. */
  enterFurther(): boolean {
    if (Math.min(this.#files, this.#parallel) + this.#further >= this.max) return false;
    this.#further += 1;
    return true;
  }

  leaveFurther(): void {
    this.#further -= 1;
  }
}
