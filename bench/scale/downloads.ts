/** Many downloads at a time, each at the rate of its own line. */
import { connect } from "node:net";
import { type BenchLibrary, preparedLink } from "../downloads/library.ts";
import type { Header } from "../drivers/driver.ts";

const tickMs = 100;

/** Downloads in flight, each of which takes so many bytes a second. */
export class SlowDownloads {
  /** Bytes that have arrived. */
  bytes = 0;
  /** Downloads that did not end as they should. */
  failures: string[] = [];
  readonly sessionIds: readonly string[];
  /** Whether they take nothing. */
  isPaused = false;
  readonly #stops: (() => void)[] = [];
  #isOver = false;

  private constructor(sessionIds: readonly string[]) {
    this.sessionIds = sessionIds;
  }

  /** @param ports of the replicas, in turn */
  static async start(
    count: number,
    ports: readonly number[],
    library: BenchLibrary,
    headers: readonly Header[],
    bytesPerSecond: number,
  ): Promise<SlowDownloads> {
    const links: { sessionId: string; path: string; port: number }[] = [];
    for (let n = 0; n < count; n++) {
      const port = ports[n % ports.length]!;
      links.push({ port, ...(await preparedLink(port, headers)) });
    }
    const downloads = new SlowDownloads(links.map(({ sessionId }) => sessionId));
    for (const { port, path } of links) downloads.#begin(port, path, library.bytes, bytesPerSecond);
    return downloads;
  }

  stop(): void {
    this.#isOver = true;
    for (const stop of this.#stops) stop();
  }

  /** Downloads the file again and again. Reads as fast as it may, and then not until the next tick. */
  #begin(port: number, path: string, bytes: number, bytesPerSecond: number): void {
    const perTick = (bytesPerSecond * tickMs) / 1000;
    let allowed = perTick;
    let left = bytes;
    const read = (length: number): boolean => {
      this.bytes += length;
      allowed -= length;
      left -= length;
      if (left <= 0) {
        left = bytes;
        socket.write(request(port, path));
      }
      return allowed > 0;
    };
    // Shared by all connections, because the bytes are discarded.
    const socket = connect({ port, host: "127.0.0.1", onread: { buffer: sink, callback: read } });
    const timer = setInterval(() => {
      if (this.isPaused) return;
      allowed = Math.min(allowed + perTick, perTick);
      if (allowed > 0) socket.resume();
    }, tickMs);
    socket.on("error", (error) => this.failures.push(error.message));
    socket.on("close", () => {
      clearInterval(timer);
      if (!this.#isOver) this.failures.push("the server closed a connection");
    });
    socket.write(request(port, path));
    socket.resume();
    this.#stops.push(() => socket.destroy());
  }
}

const sink = Buffer.allocUnsafeSlow(64 * 1024);

const request = (port: number, path: string) => `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`;
