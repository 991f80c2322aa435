/** An answer that is read and thrown away. */
export interface Reading {
  /** Resolves when the whole file has come, or reading was stopped; rejects with why it will not come. */
  readonly done: Promise<void>;
  /** Cuts the connection. */
  stop(): void;
}

export interface Source {
  readonly port: number;
  /** Path and query. */
  readonly path: string;
  /** Size of the file. */
  readonly bytes: number;
}

/** Asks for a file on a connection of its own. @param received is told of the bytes of the file as they come */
export type Reader = (source: Source, received: (bytes: number) => void) => Reading;

/**
 * All connections read into it, since nobody looks at what has been read: it stays in the processor's cache, and the
 * server's memory is what is busy. Larger ones are not filled.
 */
export const sink = Buffer.allocUnsafeSlow(256 * 1024);

export const silenceMs = 20_000;
