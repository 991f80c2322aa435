/** A download in flight whose bytes are discarded. */
export interface RunningRead {
  /** Resolves when the whole file has been read or `stop` was called; rejects when the download fails. */
  readonly done: Promise<void>;
  /** Closes the connection. */
  stop(): void;
}

export interface RemoteFile {
  readonly port: number;
  /** Path and query. */
  readonly path: string;
  /** Size of the file. */
  readonly bytes: number;
}

/** Downloads a file on its own connection. @param onBytes called with the number of bytes of each piece of the file */
export type DownloadReader = (file: RemoteFile, onBytes: (bytes: number) => void) => RunningRead;

/**
 * Shared by all connections, because the bytes are discarded: it stays in the processor's cache, so that the server's
 * memory is what is measured. A larger buffer would not be filled.
 */
export const sink = Buffer.allocUnsafeSlow(256 * 1024);

/** A server that sends nothing for this long fails the download. */
export const silenceMs = 20_000;
