import type { DescMessage, MessageShape } from "@bufbuild/protobuf";

/** Writes what `toBinary` gives for a message, behind `headBytes` bytes that are left to the head of an envelope. */
export type Encoder<T extends DescMessage = DescMessage> = (
  message: MessageShape<T>,
  headBytes: number,
) => Buffer;

/**
 * An encoder that is written by hand, for an answer that is given so often that `toBinary` costs too much.
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
