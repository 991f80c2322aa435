import { Readable } from "node:stream";
import type { GetObjectCommand, GetObjectCommandOutput, S3Client } from "@aws-sdk/client-s3";
import type { Body } from "./http/body.ts";
import type { Connections, Request } from "./http/connections.ts";

/** Bytes of an error's text that are read; the errors of S3 have some hundred. */
const maxErrorBytes = 16 * 1024;

/** A body, and the headers that came with it. */
interface OpenedBody {
  readonly answer: GetObjectCommandOutput;
  readonly body: Body;
}

/**
 * Sends a request for an object by the SDK, which signs it, repeats it and understands errors, over a connection whose
 * body is read past the SDK. Its own body is empty.
 */
export async function openBody(
  client: S3Client,
  connections: Connections,
  command: GetObjectCommand,
  abortSignal: AbortSignal,
): Promise<OpenedBody> {
  let body: Body | undefined;
  // The last one of all: in place of the SDK's own connections.
  command.middlewareStack.add(
    () => async (input) => {
      const request = input.request as Request;
      const { statusCode, headers, body: received } = await connections.send(request, abortSignal);
      if (statusCode >= 300) {
        const text = await startOf(received, abortSignal);
        return { response: { statusCode, headers, body: Readable.from(text) } } as never;
      }
      body?.destroy();
      body = received;
      return { response: { statusCode, headers, body: Readable.from([]) } } as never;
    },
    { step: "deserialize", priority: "low", name: "bodyPastTheSdk" },
  );
  try {
    const answer = await client.send(command, { abortSignal });
    return { answer, body: body! };
  } catch (error) {
    body?.destroy();
    throw error;
  }
}

/** The first bytes of a body, in one piece, or in none. */
async function startOf(body: Body, abortSignal: AbortSignal): Promise<Uint8Array[]> {
  const abort = () => body.destroy(abortSignal.reason);
  abortSignal.addEventListener("abort", abort, { once: true });
  try {
    const text = new Uint8Array(maxErrorBytes);
    let length = 0;
    while (length < text.byteLength) {
      const bytes = await body.read(text.subarray(length));
      if (bytes === 0) break;
      length += bytes;
    }
    return length === 0 ? [] : [text.subarray(0, length)];
  } finally {
    abortSignal.removeEventListener("abort", abort);
    body.destroy();
  }
}
