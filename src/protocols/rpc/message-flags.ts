import { ServiceError } from "../../domain/errors.ts";
import { connectErrorOf } from "./errors.ts";
import { headBytes } from "./fast-lane/envelope.ts";

/** The flags that a message of a stream may have: compressed; the end of a stream; trailers. */
const flagsByType: readonly (readonly [prefix: string, flags: number])[] = [
  ["application/grpc-web", 0x81],
  ["application/grpc", 0x01],
  ["application/connect+", 0x03],
];

/**
 * Holds the messages in a body to the flags of their protocol: Connect's runtime ignores unknown ones. A body of another
 * content type stays as it is.
 */
export function withKnownFlags(
  body: AsyncIterable<Uint8Array>,
  mediaType: string,
): AsyncIterable<Uint8Array> {
  const [, flags] = flagsByType.find(([prefix]) => mediaType.startsWith(prefix)) ?? [];
  return flags === undefined ? body : checked(body, flags);
}

async function* checked(body: AsyncIterable<Uint8Array>, flags: number): AsyncGenerator<Uint8Array> {
  /** How much of the head of a message has been seen. */
  let headAt = 0;
  /** What is left of the message. */
  let length = 0;
  for await (const chunk of body) {
    let at = 0;
    while (at < chunk.length) {
      if (headAt === headBytes) {
        const taken = Math.min(length, chunk.length - at);
        at += taken;
        length -= taken;
      } else if (headAt === 0) {
        if ((chunk[at]! & ~flags) !== 0) throw connectErrorOf(unknownFlags());
        length = 0;
        headAt++;
        at++;
      } else {
        length = length * 256 + chunk[at]!;
        headAt++;
        at++;
      }
      if (headAt === headBytes && length === 0) headAt = 0;
    }
    yield chunk;
  }
}

/** The error for a message whose flags the protocol does not have or its headers do not announce. */
export function unknownFlags(): ServiceError {
  return new ServiceError("downlease.request.flags");
}
