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

/** Several messages, each in an envelope, in one buffer. */
export function envelopes(messages: readonly Uint8Array[]): Buffer {
  const total = messages.reduce((sum, { length }) => sum + headBytes + length, 0);
  const bytes = Buffer.allocUnsafe(total);
  let offset = 0;
  for (const message of messages) offset = writeEnvelope(message, bytes, offset);
  return bytes;
}

function writeEnvelope(message: Uint8Array, bytes: Buffer, offset: number): number {
  bytes[offset] = 0;
  bytes.writeUInt32BE(message.length, offset + 1);
  bytes.set(message, offset + headBytes);
  return offset + headBytes + message.length;
}
