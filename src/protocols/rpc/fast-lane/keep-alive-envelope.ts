import { toBinary } from "@bufbuild/protobuf";
import {
  type KeepAliveResponse,
  KeepAliveResponseSchema,
} from "../../../../gen/content/library/item/v1/download_session_pb.ts";
import { envelope, headBytes } from "./envelope.ts";

/** Two submessage bytes, and a tag and at most ten bytes for each of three numbers. */
const largest = headBytes + 2 + 3 * 11;

/**
 * The answer to a heartbeat in its envelope: what `toBinary` gives, without the buffers that it makes on the way, which
 * cost more than the encoding.
 */
export function keepAliveEnvelope(response: KeepAliveResponse): Buffer {
  const seconds = Number(response.expirationTime?.seconds ?? -1);
  const nanos = response.expirationTime?.nanos ?? 0;
  const progress = Number(response.clientProgress);
  const isUsual =
    seconds >= 0 && Number.isSafeInteger(seconds) && nanos >= 0 && progress >= 0 && progress <= 100;
  if (!isUsual || response.$unknown !== undefined) {
    return envelope(toBinary(KeepAliveResponseSchema, response));
  }
  const bytes = Buffer.allocUnsafe(largest);
  const timestamp = headBytes + 2;
  let end = writeNumber(bytes, timestamp, 0x08, seconds);
  end = writeNumber(bytes, end, 0x10, nanos);
  bytes[headBytes] = 0x0a;
  bytes[headBytes + 1] = end - timestamp;
  end = writeNumber(bytes, end, 0x10, progress);
  bytes[0] = 0;
  bytes.writeUInt32BE(end - headBytes, 1);
  return bytes.subarray(0, end);
}

/** A field of a number that is not negative; zero is left out. Gives where the next one goes. */
function writeNumber(bytes: Buffer, offset: number, tag: number, value: number): number {
  if (value === 0) return offset;
  let at = offset;
  let rest = value;
  bytes[at++] = tag;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80;
  bytes[at++] = rest;
  return at;
}
