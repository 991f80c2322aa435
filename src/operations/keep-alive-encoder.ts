import { toBinary } from "@bufbuild/protobuf";
import { KeepAliveResponseSchema } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { encoderOf } from "../calls/encoder.ts";

/** Two submessage bytes, and a tag and at most ten bytes for each of three numbers. */
const maxBytes = 2 + 3 * 11;

/** Encodes the answer to a keep-alive without the buffers of `toBinary`, which cost more than the encoding. */
export const encodeKeepAlive = encoderOf(
  KeepAliveResponseSchema,
  ["expiration_time", "client_progress"],
  (response, headBytes) => {
    const seconds = Number(response.expirationTime?.seconds ?? -1);
    const nanos = response.expirationTime?.nanos ?? 0;
    const progress = Number(response.clientProgress);
    const isUsual =
      seconds >= 0 && Number.isSafeInteger(seconds) && nanos >= 0 && progress >= 0 && progress <= 100;
    if (!isUsual || response.$unknown !== undefined) {
      return Buffer.concat([Buffer.alloc(headBytes), toBinary(KeepAliveResponseSchema, response)]);
    }
    const bytes = Buffer.allocUnsafe(headBytes + maxBytes);
    const timestamp = headBytes + 2;
    let end = writeNumber(bytes, timestamp, 0x08, seconds);
    end = writeNumber(bytes, end, 0x10, nanos);
    bytes[headBytes] = 0x0a;
    bytes[headBytes + 1] = end - timestamp;
    end = writeNumber(bytes, end, 0x10, progress);
    return bytes.subarray(0, end);
  },
);

/** Writes a numeric field that is not negative and returns the offset behind it; zero is left out. */
function writeNumber(bytes: Buffer, offset: number, tag: number, value: number): number {
  if (value === 0) return offset;
  let at = offset;
  let rest = value;
  bytes[at++] = tag;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80;
  bytes[at++] = rest;
  return at;
}
