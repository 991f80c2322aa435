import type { Outcome } from "./driver.ts";

export type MessageReader = (chunk: Buffer) => void;

const prefixBytes = 5;

/** Splits a body into its length-prefixed gRPC messages. */
export function readMessages(onMessage: (message: Buffer) => void): MessageReader {
  let unread: Buffer | undefined;
  return (chunk) => {
    const bytes = unread === undefined ? chunk : Buffer.concat([unread, chunk]);
    let at = 0;
    while (bytes.length - at >= prefixBytes) {
      const end = at + prefixBytes + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) break;
      onMessage(bytes.subarray(at + prefixBytes, end));
      at = end;
    }
    unread = at < bytes.length ? bytes.subarray(at) : undefined;
  };
}

/** Tags of `results`, of `error` inside a result, and of `code` inside an error. */
const resultTag = 0x0a;
const errorTag = 0x22;
const codeTag = 0x08;
const unavailable = 14;

/**
 * Outcome of the heartbeats in a `KeepAliveStreamResponse` or `BatchKeepAliveResponse`, which look the same on the
 * wire. Reading the few tags by hand costs a tenth of decoding the message.
 */
export function resultsOutcome(message: Buffer, expected: number): Outcome {
  let results = 0;
  let outcome: Outcome = "accepted";
  eachField(message, 0, message.length, (tag, start, end) => {
    if (tag !== resultTag) return;
    results++;
    eachField(message, start, end, (inner, errorStart, errorEnd) => {
      if (inner !== errorTag) return;
      let code = 0;
      eachField(message, errorStart, errorEnd, (field, _, __, value) => {
        if (field === codeTag) code = value;
      });
      if (outcome !== "failed") outcome = code === unavailable ? "unavailable" : "failed";
    });
  });
  return results === expected ? outcome : "failed";
}

/** Calls back with each field's tag and the range of its content, or its value when it is a number. */
function eachField(
  bytes: Buffer,
  from: number,
  to: number,
  visit: (tag: number, start: number, end: number, value: number) => void,
): void {
  let at = from;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("a message ends in the middle of a field");
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < to) {
    const tag = varint();
    const value = varint();
    if ((tag & 7) === 0) visit(tag, at, at, value);
    else if ((tag & 7) === 2) {
      at += value;
      visit(tag, at - value, at, 0);
    } else throw new Error(`a field with tag ${tag} is not expected`);
  }
}
