import type { ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

/** The fault of one response to a download. */
export interface Fault {
  /** Responds with this status instead of the file. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Closes the connection after this many bytes of the body. */
  readonly cutAfter?: number;
  /** Sends nothing more after this many bytes of the body. */
  readonly stallAfter?: number;
  /** Sends the rest once this resolves. */
  readonly resumes?: Promise<void>;
  /** Changes the byte at this position of the file. */
  readonly flipAt?: number;
  /** Cuts the body to this length, and declares it. */
  readonly contentLength?: number;
  /** Appends this many bytes to the body. */
  readonly surplus?: number;
  /** Sends the whole file instead of the requested range. */
  readonly ignoreRange?: boolean;
  /** Sends a range that begins this many bytes after the requested one. */
  readonly shiftRange?: number;
  /** Answers after this many milliseconds. */
  readonly delayMs?: number;
  /** Sends a body at this rate. */
  readonly bytesPerSecond?: number;
}

/** A request for a file. */
export interface FileRequest {
  readonly name: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  status: number;
  /** Whether the response has ended. */
  isOver: boolean;
}

/** A version of a file. */
export interface ServedFile {
  readonly bytes: Buffer;
  readonly etag: string;
}

/** Sends a file, or the range of it that is requested, with a fault. */
export async function sendFile(
  response: ServerResponse,
  { bytes: right, etag }: ServedFile,
  { range, ifRange }: Pick<FileRequest, "range" | "ifRange">,
  fault: Fault,
): Promise<void> {
  if (fault.delayMs !== undefined) await delay(fault.delayMs);
  const bytes = fault.flipAt === undefined ? right : Buffer.from(right);
  if (fault.flipAt !== undefined) bytes[fault.flipAt]! ^= 1;
  const [, requested, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
  const isPart = requested !== undefined && ifRange === etag && fault.ignoreRange !== true;
  const start = isPart ? Number(requested) + (fault.shiftRange ?? 0) : 0;
  const end = isPart && last ? Number(last) + 1 : bytes.length;
  const part = bytes.subarray(start, end);
  const body = fault.surplus === undefined ? part : Buffer.concat([part, Buffer.alloc(fault.surplus)]);
  const length = Math.min(fault.contentLength ?? body.length, body.length);
  response.writeHead(isPart ? 206 : 200, {
    etag,
    "content-length": length,
    "accept-ranges": "bytes",
    ...(isPart && { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` }),
    ...fault.headers,
  });
  if (fault.cutAfter !== undefined) {
    // A reset would discard bytes that are in flight.
    response.write(body.subarray(0, fault.cutAfter), () => response.socket?.destroySoon());
  } else if (fault.stallAfter !== undefined) {
    response.write(body.subarray(0, fault.stallAfter));
    await fault.resumes;
    if (fault.resumes !== undefined) response.end(body.subarray(fault.stallAfter));
  } else if (fault.bytesPerSecond !== undefined) {
    await trickle(response, body, fault.bytesPerSecond);
  } else {
    response.end(body.subarray(0, length));
  }
}

async function trickle(response: ServerResponse, body: Buffer, bytesPerSecond: number): Promise<void> {
  const pieceBytes = Math.ceil(bytesPerSecond / 50);
  for (let at = 0; at < body.length && !response.destroyed; at += pieceBytes) {
    response.write(body.subarray(at, at + pieceBytes));
    await delay(20);
  }
  response.end();
}
