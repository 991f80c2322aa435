/** The thread of `SlowDownloads`. */
import { connect } from "node:net";
import { workerData } from "node:worker_threads";
import { counters, type DownloadLink, type DownloadWork } from "./downloads.ts";

const { links, fileBytes, bytesPerSecond, shared } = workerData as DownloadWork;
const numbers = new BigInt64Array(shared);

/** Each download may read once in so many ms; a part of them in each tick, so that they do not all come at once. */
const turnMs = 100;
const tickMs = 5;
const parts = turnMs / tickMs;
const goldenRatio = (1 + Math.sqrt(5)) / 2;
/** After a pause each begins at a time of its own: the lines of different clients have no common beat. */
const maxDelayMs = 1_000;

/** Shared by all connections, because the bytes are discarded. */
const sink = Buffer.allocUnsafeSlow(64 * 1024);

const turns = links.map(begin);
let ticks = 0;
let pausedAt = 0;
setInterval(() => {
  ticks++;
  const isPaused = Atomics.load(numbers, counters.isPaused) === 1n;
  if (isPaused) {
    pausedAt = performance.now();
    return;
  }
  const begun = (performance.now() - pausedAt) / maxDelayMs;
  for (let at = ticks % parts; at < turns.length; at += parts) {
    if (begun >= shareOf(at)) turns[at]!();
  }
}, tickMs);

/** Spreads the downloads over 0 to 1, those of one replica as well. */
function shareOf(index: number): number {
  return (index * goldenRatio) % 1;
}

/** Downloads the file again and again. Reads as fast as it may, and then not until its next turn. */
function begin({ port, path }: DownloadLink, index: number): () => void {
  // From half of the rate to one and a half.
  const bytesInTurn = (bytesPerSecond * (0.5 + shareOf(index)) * turnMs) / 1000;
  const request = `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`;
  const failed = () => Atomics.add(numbers, counters.failures, 1n);
  let allowed = bytesInTurn;
  let left = fileBytes;
  const take = (length: number): boolean => {
    Atomics.add(numbers, counters.bytes, BigInt(length));
    allowed -= length;
    left -= length;
    if (left <= 0) {
      left = fileBytes;
      socket.write(request);
    }
    return allowed > 0;
  };
  const socket = connect({ port, host: "127.0.0.1", onread: { buffer: sink, callback: take } });
  // The server never closes a connection by itself.
  socket.on("error", () => {});
  socket.on("close", failed);
  socket.write(request);
  socket.resume();
  return () => {
    allowed = Math.min(allowed + bytesInTurn, bytesInTurn);
    if (allowed > 0) socket.resume();
  };
}
