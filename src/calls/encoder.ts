import { type DescMessage, type Message, type MessageShape, toBinary } from "@bufbuild/protobuf";

/** Encodes a message as `toBinary` does, after `headBytes` bytes that are reserved for the head of an envelope. */
export type Encoder<T extends DescMessage = DescMessage> = (
  message: MessageShape<T>,
  headBytes: number,
) => Buffer;

/**
 * Makes an encoder of a hand-written function, for an answer so frequent that `toBinary` costs too much.
 *
 * @param fields names of the message's fields that the encoder writes
 * @throws Error when the message has other fields: the encoder would leave them out of every answer
 */
export function encoderOf<T extends DescMessage>(
  schema: T,
  fields: readonly string[],
  encode: Encoder<T>,
): Encoder<T> {
  requireFields(schema, fields);
  return encode;
}

/** @throws Error when the message has other fields than its encoder writes */
export function requireFields(schema: DescMessage, fields: readonly string[]): void {
  const written = [...fields].sort().join(", ");
  const declared = schema.fields
    .map(({ name }) => name)
    .sort()
    .join(", ");
  if (declared !== written) {
    throw new Error(`the encoder of ${schema.typeName} writes the fields ${written}, but it has ${declared}`);
  }
}

/** Makes an encoder that encodes each message once, however many callers get it. */
export function sharedEncoder<T extends DescMessage>(schema: T): Encoder<T> {
  const encoded = new WeakMap<Message, Buffer>();
  return (message, headBytes) => {
    const existing = encoded.get(message);
    if (existing !== undefined) return existing;
    const bytes = Buffer.concat([Buffer.alloc(headBytes), toBinary(schema, message)]);
    encoded.set(message, bytes);
    return bytes;
  };
}
