import { PassThrough } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { HttpRequest } from "../../src/calls/http.ts";
import { readBody } from "../../src/protocols/vapi/body.ts";

/** As much of a request as a body reader sees. */
function request(headers: Record<string, string> = {}) {
  const stream = Object.assign(new PassThrough(), { headers });
  return { stream, request: stream as unknown as HttpRequest };
}

describe("a body", () => {
  test("is returned whole for every split into chunks", async () => {
    const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(pieces, async (sent) => {
        const { stream, request: req } = request();
        const read = readBody(req, 1000);
        for (const piece of sent) stream.write(piece);
        stream.end();
        expect(await read).toEqual(Buffer.concat(sent));
      }),
    );
  });

  test.each([
    ["one chunk", ["12345"]],
    ["several", ["12", "34", "5"]],
  ])("that is too large in %s is refused, one that just fits is not", async (_, pieces) => {
    const send = (maxBytes: number) => {
      const { stream, request: req } = request();
      const read = readBody(req, maxBytes);
      for (const piece of pieces) stream.write(piece);
      stream.end();
      return read;
    };
    await expect(send(4)).rejects.toMatchObject({ kind: "body_too_large" });
    expect((await send(5)).toString()).toBe("12345");
  });

  test("with a Content-Length above the limit is refused before it arrives", async () => {
    const { request: req } = request({ "content-length": "5" });
    await expect(readBody(req, 4)).rejects.toMatchObject({ kind: "body_too_large" });
  });

  test("whose client goes away is a canceled call", async () => {
    const { stream, request: req } = request({ "content-length": "5" });
    const read = readBody(req, 1000);
    stream.write("12");
    stream.destroy();
    await expect(read).rejects.toMatchObject({ kind: "canceled" });
  });
});
