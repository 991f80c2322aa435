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
  writeEnvelope(message, bytes, 0);
  return bytes;
}

/** One message in an envelope, by the encoder of its operation. */
export function encodedEnvelope(message: Message, encode: Encoder): Buffer {
  const bytes = encode(message, headBytes);
  writeHead(bytes, 0, bytes.length - headBytes);
  return bytes;
}

/** Several messages, each in an envelope, in one buffer. */
export function envelopes(messages: readonly Uint8Array[]): Buffer {
  const total = messages.reduce((sum, { length }) => sum + headBytes + length, 0);
  const bytes = Buffer.allocUnsafe(total);
  let offset = 0;
  for (const message of messages) offset = writeEnvelope(message, bytes, offset);
  return bytes;
}

function writeHead(bytes: Buffer, offset: number, length: number): void {
  bytes[offset] = 0;
  bytes.writeUInt32BE(length, offset + 1);
}

function writeEnvelope(message: Uint8Array, bytes: Buffer, offset: number): number {
  writeHead(bytes, offset, message.length);
  bytes.set(message, offset + headBytes);
  return offset + headBytes + message.length;
}
