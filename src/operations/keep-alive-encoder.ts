import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  BatchKeepAliveResponseSchema,
  KeepAliveResponseSchema,
  type KeepAliveResult,
  KeepAliveResultSchema,
  KeepAliveStreamResponseSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { encoderOf, requireFields } from "../calls/encoder.ts";

/** Two submessage bytes, and a tag and at most ten bytes for each of three numbers. */
const maxBytes = 2 + 3 * 11;

/** Encodes the answer to a keep-alive without the buffers of `toBinary`, which cost more than the encoding. */
export const encodeKeepAlive = encoderOf(
  KeepAliveResponseSchema,
  ["expiration_time", "client_progress"],
  (response, headBytes) => {
    if (!isUsual(response)) return encodedByRuntime(KeepAliveResponseSchema, response, headBytes);
    const bytes = Buffer.allocUnsafe(headBytes + maxBytes);
    const end = writeTimestamp(bytes, headBytes, 0x0a, response.expirationTime!);
    return bytes.subarray(0, writeNumber(bytes, end, 0x10, Number(response.clientProgress)));
  },
);

/** Encodes the answer to a keep-alive on a stream, as `encodeKeepAlive` does. */
export const encodeKeepAliveStream = encoderOf(
  KeepAliveStreamResponseSchema,
  ["result"],
  (response, headBytes) => {
    const { result } = response;
    const isPlain = result !== undefined && response.$unknown === undefined && isRenewal(result);
    return isPlain
      ? encodedRenewals([result], headBytes)
      : encodedByRuntime(KeepAliveStreamResponseSchema, response, headBytes);
  },
);

/** Encodes the answer to a batch of keep-alives, as `encodeKeepAlive` does. */
export const encodeKeepAliveBatch = encoderOf(
  BatchKeepAliveResponseSchema,
  ["results"],
  (response, headBytes) =>
    response.$unknown === undefined && response.results.every(isRenewal)
      ? encodedRenewals(response.results, headBytes)
      : encodedByRuntime(BatchKeepAliveResponseSchema, response, headBytes),
);

requireFields(KeepAliveResultSchema, [
  ...["download_session_id", "expiration_time", "client_progress"],
  // A result that has it is left to the runtime.
  "error",
]);

type Renewed = Pick<KeepAliveResult, "expirationTime" | "clientProgress" | "$unknown">;

/** Whether the numbers are such as stores give. */
function isUsual({ expirationTime, clientProgress, $unknown }: Renewed): boolean {
  const seconds = Number(expirationTime?.seconds ?? -1);
  const nanos = expirationTime?.nanos ?? 0;
  const progress = Number(clientProgress);
  const isInRange = seconds >= 0 && nanos >= 0 && progress >= 0 && progress <= 100;
  return isInRange && Number.isSafeInteger(seconds) && $unknown === undefined;
}

/** The bytes of an identifier are at most as many, so that two bytes hold each length. */
const maxIdLength = 256;

function isRenewal(result: KeepAliveResult): boolean {
  return result.error === undefined && result.downloadSessionId.length <= maxIdLength && isUsual(result);
}

/** Tags and lengths of a result and of its identifier. */
const maxResultBytes = 2 * 3 + maxBytes;

/** Results as the first field of a message, which they are in both. */
function encodedRenewals(results: readonly KeepAliveResult[], headBytes: number): Buffer {
  let size = headBytes;
  for (const { downloadSessionId } of results) size += maxResultBytes + Buffer.byteLength(downloadSessionId);
  const bytes = Buffer.allocUnsafe(size);
  let end = headBytes;
  for (const result of results) end = writeRenewal(bytes, end, result);
  return bytes.subarray(0, end);
}

function writeRenewal(bytes: Buffer, offset: number, result: KeepAliveResult): number {
  const { downloadSessionId, expirationTime, clientProgress } = result;
  // Nearly every length takes one byte.
  const start = offset + 2;
  let end = start;
  if (downloadSessionId !== "") {
    end = writeNumber(bytes, end, 0x0a, Buffer.byteLength(downloadSessionId));
    end += bytes.write(downloadSessionId, end);
  }
  end = writeTimestamp(bytes, end, 0x12, expirationTime!);
  end = writeNumber(bytes, end, 0x18, Number(clientProgress));
  const length = end - start;
  if (length >= 0x80) {
    bytes.copyWithin(start + 1, start, end);
    end++;
  }
  writeNumber(bytes, offset, 0x0a, length);
  return end;
}

function encodedByRuntime<T extends DescMessage>(
  schema: T,
  message: MessageShape<T>,
  headBytes: number,
): Buffer {
  return Buffer.concat([Buffer.alloc(headBytes), toBinary(schema, message)]);
}

function writeTimestamp(bytes: Buffer, offset: number, tag: number, { seconds, nanos }: Timestamp): number {
  const start = offset + 2;
  const end = writeNumber(bytes, writeNumber(bytes, start, 0x08, Number(seconds)), 0x10, nanos);
  bytes[offset] = tag;
  bytes[offset + 1] = end - start;
  return end;
}

/** Writes a tag and a number that is not negative, and returns the offset behind them; zero is left out. */
function writeNumber(bytes: Buffer, offset: number, tag: number, value: number): number {
  if (value === 0) return offset;
  let at = offset;
  let rest = value;
  bytes[at++] = tag;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80;
  bytes[at++] = rest;
  return at;
}
