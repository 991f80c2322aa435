import type { Message } from "@bufbuild/protobuf";
import type { Encoder } from "../../../calls/encoder.ts";

/** A flag byte and the length of the message, in big-endian order. */
export const headBytes = 5;

/** Length of the message in the envelope at `offset`, whose head must be complete. */
export function messageLength(bytes: Buffer, offset: number): number {
  return bytes.readUInt32BE(offset + 1);
}

/** One message in an envelope. */
export function envelope(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(headBytes + message.length);
  writeHead(bytes, message.length);
  bytes.set(message, headBytes);
  return bytes;
}

/** One message in an envelope, by the encoder of its operation. */
export function encodedEnvelope(message: Message, encode: Encoder): Buffer {
  const bytes = encode(message, headBytes);
  writeHead(bytes, bytes.length - headBytes);
  return bytes;
}

function writeHead(bytes: Buffer, length: number): void {
  bytes[0] = 0;
  bytes.writeUInt32BE(length, 1);
}
