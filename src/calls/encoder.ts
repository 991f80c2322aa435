import type { DescMessage, MessageShape } from "@bufbuild/protobuf";

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
  const written = [...fields].sort().join(", ");
  const declared = schema.fields
    .map(({ name }) => name)
    .sort()
    .join(", ");
  if (declared !== written) {
    throw new Error(`the encoder of ${schema.typeName} writes the fields ${written}, but it has ${declared}`);
  }
  return encode;
}
