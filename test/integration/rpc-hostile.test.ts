import { once } from "node:events";
import { connect, constants } from "node:http2";
import { connect as connectSocket } from "node:net";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import {
  lanes,
  maxBodyBytes,
  type RpcService,
  serviceName,
  startRpcService,
} from "../support/rpc-service.ts";

describe.each(lanes)("$lane", ({ fastLane }) => {
  let service: RpcService;
  const consoleError = vi.spyOn(console, "error").mockImplementation(() => {});
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  beforeAll(async () => {
    process.on("warning", onWarning);
    service = await startRpcService({ fastLane });
  });
  afterEach(async () => {
    const response = await postHttp1("application/json", Buffer.from("{}"), "List");
    expect(response.status, "the service still answers").toBe(200);
    expect(consoleError.mock.calls).toEqual([]);
    expect(warnings).toEqual([]);
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    process.off("warning", onWarning);
  });

  const postHttp1 = (contentType: string, body: Uint8Array, method = "Get", headers = {}) =>
    fetch(`${service.http1Url}/${serviceName}/${method}`, {
      method: "POST",
      headers: { "content-type": contentType, ...headers },
      body: new Uint8Array(body),
    });

  interface Answer {
    readonly httpStatus: number;
    readonly headers: Readonly<Record<string, unknown>>;
    readonly body: Buffer;
  }

  /** A request over HTTP/2 with trailers and headers in one. */
  async function postHttp2(
    contentType: string,
    body: Uint8Array,
    headers = {},
    method = "Get",
  ): Promise<Answer> {
    const session = connect(service.http2Url);
    try {
      const stream = session.request({
        ":method": "POST",
        ":path": `/${serviceName}/${method}`,
        "content-type": contentType,
        ...headers,
      });
      let received: Record<string, unknown> = {};
      stream.on("response", (part) => {
        received = { ...received, ...part };
      });
      stream.on("trailers", (part) => {
        received = { ...received, ...part };
      });
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.end(body);
      await once(stream, "end");
      return { httpStatus: Number(received[":status"]), headers: received, body: Buffer.concat(chunks) };
    } finally {
      session.destroy();
    }
  }

  const envelope = (message: Uint8Array, flags = 0): Buffer => {
    const head = Buffer.alloc(5, flags);
    head.writeUInt32BE(message.length, 1);
    return Buffer.concat([head, message]);
  };
  const validMessage = Buffer.from([10, 3, ...Buffer.from("abc")]);

  const bytes = fc.uint8Array({ maxLength: 64 });
  const mutated = (valid: Buffer) =>
    fc
      .tuple(fc.nat(valid.length - 1), fc.nat(255), fc.nat(valid.length))
      .map(([at, value, length]) => Buffer.from(valid.with(at, value)).subarray(0, length));
  const frames = fc.oneof(
    bytes,
    fc.tuple(bytes, fc.nat(255)).map(([message, flags]) => envelope(message, flags)),
    mutated(envelope(validMessage)),
    bytes.map((rest) => Buffer.concat([envelope(validMessage), rest])),
  );
  const leak = /\n\s+at |node_modules|\.[jt]s\b|\[object/;

  /** Codes for mistakes of a caller. */
  const refusals = ["invalid_argument", "resource_exhausted", "unimplemented", "not_found"];
  const grpcCodes = ["3", "8", "12", "5"];
  /** gRPC has INTERNAL for one mistake, a message with wrong flags. */
  const expectRefusal = (status: unknown, message: string) => {
    if (status === "13") expect(message).toMatch(/flags|compressed envelope/);
    else expect(grpcCodes).toContain(status);
    expect(message).not.toMatch(leak);
  };
  const runs = { numRuns: 300 };

  describe("random bytes", () => {
    test("over gRPC get a status", async () => {
      await fc.assert(
        fc.asyncProperty(frames, async (body) => {
          const { httpStatus, headers } = await postHttp2("application/grpc", body, { te: "trailers" });
          expect(httpStatus).toBe(200);
          expectRefusal(headers["grpc-status"], decodeURIComponent(String(headers["grpc-message"])));
        }),
        runs,
      );
    });

    test("over gRPC-Web get a status", async () => {
      await fc.assert(
        fc.asyncProperty(frames, async (body) => {
          const response = await postHttp1("application/grpc-web+proto", body);
          expect(response.status).toBe(200);
          const text = await response.text();
          const [, status] = /grpc-status: (\d+)\r\n/.exec(text) ?? [];
          expectRefusal(status, decodeURIComponent(/grpc-message: (.*)\r\n/.exec(text)?.[1] ?? ""));
        }),
        runs,
      );
    });

    test.each([
      ["application/proto", fc.oneof(bytes, mutated(validMessage))],
      [
        "application/json",
        fc.oneof(bytes, mutated(Buffer.from('{"downloadSessionId":"abc"}')), fc.json().map(Buffer.from)),
      ],
    ] as const)("over Connect, %s, get an error in JSON", async (contentType, bodies) => {
      await fc.assert(
        fc.asyncProperty(bodies as fc.Arbitrary<Uint8Array>, async (body) => {
          const response = await postHttp1(contentType, body);
          const { code, message } = (await response.json()) as Record<string, string>;
          expect(refusals).toContain(code);
          expect(message).not.toMatch(leak);
        }),
        runs,
      );
    });

    test("over a Connect stream get an end of the stream", async () => {
      await fc.assert(
        fc.asyncProperty(frames, async (body) => {
          const response = await fetch(
            `${service.http1Url}/grpc.reflection.v1.ServerReflection/ServerReflectionInfo`,
            {
              method: "POST",
              headers: { "content-type": "application/connect+proto" },
              body: new Uint8Array(body),
            },
          );
          // Connect serves this kind of stream over HTTP/2 only.
          expect(response.status).toBe(505);
          const { body: answer } = await postHttp2("application/connect+proto", body, {}, "Nothing");
          expect(answer[0]).toBe(2);
          expect(answer.toString()).toContain('"code":"unimplemented"');
        }),
        { numRuns: 30 },
      );
    });
  });

  describe("requests that are cut short", () => {
    test("a stream that is reset in the middle of its message leaves nothing on the console", async () => {
      const session = connect(service.http2Url);
      for (let cut = 0; cut < 10; cut++) {
        const stream = session.request({
          ":method": "POST",
          ":path": `/${serviceName}/Get`,
          "content-type": cut % 2 ? "application/grpc" : "application/proto",
        });
        stream.on("error", () => {});
        stream.write(envelope(validMessage).subarray(0, cut));
        stream.close(constants.NGHTTP2_CANCEL);
        await once(stream, "close");
      }
      session.close();
      await once(session, "close");
    });

    test("a connection that is cut in the middle of a body leaves nothing on the console", async () => {
      for (const length of [0, 1, 5]) {
        const socket = connectSocket(Number(new URL(service.http1Url).port), "127.0.0.1");
        socket.write(
          `POST /${serviceName}/Get HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n`,
        );
        socket.write("{".repeat(length), () => socket.resetAndDestroy());
        await once(socket, "close");
      }
    });
  });

  describe("requests that are too large", () => {
    test("of unknown length, get their answer over HTTP/1.1", async () => {
      const chunk = new Uint8Array(maxBodyBytes);
      let left = 50;
      const body = new ReadableStream({
        pull(controller) {
          if (left-- > 0) controller.enqueue(chunk);
          else controller.close();
        },
      });
      const response = await fetch(`${service.http1Url}/${serviceName}/Get`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        duplex: "half",
      } as RequestInit);
      expect(response.status).toBe(429);
      expect(await response.json()).toMatchObject({ code: "resource_exhausted" });
    });

    test("only once they are decompressed, are refused on every protocol", async () => {
      const bomb = gzipSync(Buffer.alloc(10_000_000));
      expect(bomb.length).toBeGreaterThan(maxBodyBytes);
      const small = gzipSync(Buffer.alloc(maxBodyBytes * 100));
      expect(small.length).toBeLessThan(maxBodyBytes);
      for (const body of [bomb, small]) {
        const connectAnswer = await postHttp1("application/proto", body, "Get", {
          "content-encoding": "gzip",
        });
        expect(await connectAnswer.json()).toMatchObject({ code: "resource_exhausted" });
        const grpcAnswer = await postHttp2("application/grpc", envelope(body, 1), {
          "grpc-encoding": "gzip",
        });
        expect(grpcAnswer.headers).toMatchObject({ "grpc-status": "8" });
      }
    });

    test("only by their announced length, are refused at once", async () => {
      const liar = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
      expect((await postHttp2("application/grpc", liar)).headers).toMatchObject({ "grpc-status": "8" });
    });
  });

  describe("requests with strange headers", () => {
    test("a Host that does not form a URL is a bad request", async () => {
      const socket = connectSocket(Number(new URL(service.http1Url).port), "127.0.0.1");
      socket.write(
        `POST /${serviceName}/Get HTTP/1.1\r\nHost: [\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
      );
      const [answer] = await once(socket, "data");
      socket.destroy();
      expect(String(answer)).toMatch(/^HTTP\/1\.1 400 /);
    });

    test.each([
      ["connect-timeout-ms", "soon", 400, "invalid_argument"],
      ["connect-timeout-ms", "9999999999", 404, "not_found"],
      ["connect-timeout-ms", "0", 504, "deadline_exceeded"],
      ["content-encoding", "zstd", 501, "unimplemented"],
      ["x-request-id", "ünusual", 404, "not_found"],
    ])("%s: %s gets %d %s", async (name, value, httpStatus, code) => {
      const response = await postHttp1(
        "application/json",
        Buffer.from('{"downloadSessionId":"abc"}'),
        "Get",
        {
          [name]: value,
        },
      );
      expect(response.status).toBe(httpStatus);
      expect(await response.json()).toMatchObject({ code });
    });

    test.each([
      ["text/plain", 415],
      ["application/grpc+thrift", 415],
    ])("a body of type %s gets %d", async (contentType, httpStatus) => {
      expect((await postHttp1(contentType, validMessage)).status).toBe(httpStatus);
    });

    test("a compressed message is accepted", async () => {
      const body = gzipSync(JSON.stringify({ downloadSessionId: "abc" }));
      const response = await postHttp1("application/json", body, "Get", { "content-encoding": "gzip" });
      expect(await response.json()).toMatchObject({ code: "not_found" });
      const { headers } = await postHttp2("application/grpc", envelope(gzipSync(validMessage), 1), {
        "grpc-encoding": "gzip",
      });
      expect(headers).toMatchObject({ "grpc-status": "5" });
    });
  });
});
