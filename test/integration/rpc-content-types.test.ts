import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GetRequestSchema } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { envelope, http1Client, http2Client, pathOf, type RawClient } from "../support/raw-rpc.ts";
import { lanes, type RpcService, startRpcService } from "../support/rpc-service.ts";

const request = toBinary(GetRequestSchema, create(GetRequestSchema, { downloadSessionId: "nobody" }));
const enveloped = envelope(request);
const json = Buffer.from('{"downloadSessionId":"nobody"}');
const base64 = (bytes: Uint8Array) => Buffer.from(Buffer.from(bytes).toString("base64"));

describe.each(lanes)("$lane", ({ fastLane }) => {
  let service: RpcService;
  let clients: Record<"HTTP/1.1" | "HTTP/2", RawClient>;
  beforeAll(async () => {
    service = await startRpcService({ fastLane });
    clients = { "HTTP/1.1": http1Client(service.http1Url), "HTTP/2": http2Client(service.http2Url) };
  });
  afterAll(async () => {
    for (const client of Object.values(clients)) client[Symbol.dispose]();
    await service[Symbol.asyncDispose]();
  });

  const send = async (over: keyof typeof clients, type: string, body: Uint8Array | readonly Uint8Array[]) => {
    const headers = { "content-type": type, te: "trailers" };
    const chunks = body instanceof Uint8Array ? [body] : body;
    const answer = await clients[over].send({ method: "Get", headers, body: chunks });
    // A status without a message comes in the only block of headers, or in the last.
    const { "grpc-status": status, "grpc-message": text } = { ...answer.headers, ...answer.trailers };
    return {
      ...answer,
      status,
      message: decodeURIComponent(String(text)),
      text: answer.body.toString("latin1"),
    };
  };

  describe.each(["HTTP/1.1", "HTTP/2"] as const)("over %s", (over) => {
    test.each([
      ["application/json; charset=utf-8", json],
      ["application/json;charset=UTF-8", json],
      ["application/proto; x=y", request],
      ["Application/Proto ;x=y", request],
    ])("a Connect request of type %s is read", async (type, body) => {
      const { httpStatus, text } = await send(over, type, body);
      expect(httpStatus).toBe(404);
      expect(JSON.parse(text)).toMatchObject({ code: "not_found" });
    });

    test.each(["application/grpc-web; charset=x", "application/grpc-web+proto; a=b; c=d"])(
      "a gRPC-Web request of type %s is read",
      async (type) => {
        const { httpStatus, text } = await send(over, type, enveloped);
        expect(httpStatus).toBe(200);
        expect(text).toContain("grpc-status: 5\r\n");
      },
    );

    describe.each(["application/grpc-web-text", "application/grpc-web-text+proto; charset=utf-8"])(
      "of type %s",
      (type) => {
        const [head, rest] = [enveloped.subarray(0, 5), enveloped.subarray(5)];
        test.each([
          ["as a whole", [base64(enveloped)]],
          ["in two texts, each with its padding", [base64(head), base64(rest)]],
          ["byte by byte", [...base64(enveloped)].map((byte) => Buffer.from([byte]))],
        ])("a request in base64 is read %s, and answered in base64", async (_, chunks) => {
          const { httpStatus, headers, text } = await send(over, type, chunks);
          expect(httpStatus).toBe(200);
          expect(headers["content-type"]).toMatch(/^application\/grpc-web-text(\+proto)?$/);
          const texts = text.match(/[^=]+=*/g)!;
          const decoded = texts.map((part) => Buffer.from(part, "base64").toString("latin1")).join("");
          expect(decoded).toMatch(/^\x80[\s\S]*grpc-status: 5\r\n/);
        });

        test.each(["AAAA=AAA", "A", "!!!!", "====", "AAAAA"])(
          "%s, which is no base64, is refused",
          async (bad) => {
            const { text } = await send(over, type, Buffer.from(bad));
            expect(Buffer.from(text, "base64").toString("latin1")).toContain("grpc-status: 3\r\n");
          },
        );
      },
    );

    test.each([
      ["application/grpc-web+proto", 0x02],
      ["application/grpc-web+proto", 0x40],
    ])("a message of type %s with the flags %d is refused", async (type, flags) => {
      const { text } = await send(over, type, envelope(request, flags));
      expect(text).toContain("grpc-status: 13\r\n");
      expect(decodeURIComponent(text)).toContain("unknown flags");
    });
  });

  test.each([
    "application/grpc; charset=utf-8",
    "application/grpc+proto;x=y",
    "APPLICATION/GRPC; charset=utf-8",
  ])("a gRPC request of type %s is read", async (type) => {
    const { httpStatus, status } = await send("HTTP/2", type, enveloped);
    expect(httpStatus).toBe(200);
    expect(status).toBe("5");
  });

  test.each([0x02, 0x04, 0x80, 0xff])("a gRPC message with the flags %d is refused", async (flags) => {
    for (const chunks of [
      [envelope(request, flags)],
      [...envelope(request, flags)].map((each) => Buffer.of(each)),
    ]) {
      const { status, message } = await send("HTTP/2", "application/grpc", chunks);
      expect(status).toBe("13");
      expect(message).toMatch(flags === 0xff ? /unknown flags|compressed/ : /unknown flags/);
    }
  });

  test.each([1, 2])("so is the second message of a stream, with the flags %d", async (flags) => {
    const { trailers, body } = await clients["HTTP/2"].send({
      method: "KeepAliveStream",
      headers: { "content-type": "application/grpc", te: "trailers" },
      body: [enveloped, envelope(request, flags)],
    });
    expect(body.length).toBeGreaterThan(5);
    expect(trailers["grpc-status"]).toBe("13");
  });

  test("Health/Watch takes one message, with the codes of gRPC for others", async () => {
    const watch = async (...body: Uint8Array[]) => {
      const headers = { "content-type": "application/grpc", te: "trailers" };
      const answer = await clients["HTTP/2"].send({ method: "/grpc.health.v1.Health/Watch", headers, body });
      return answer.headers["grpc-status"] ?? answer.trailers["grpc-status"];
    };
    const empty = envelope(Buffer.alloc(0));
    expect(await watch()).toBe("12");
    expect(await watch(empty, empty)).toBe("12");
    expect(await watch(envelope(Buffer.alloc(0), 1))).toBe("13");
    expect(await watch(envelope(Buffer.alloc(0), 2))).toBe("13");
  });

  test("an unknown method is UNIMPLEMENTED, whatever the parameters of the type", async () => {
    for (const type of ["application/grpc-web-text; a=b", "application/grpc-web; a=b"]) {
      const headers = { "content-type": type };
      const answer = await clients["HTTP/1.1"].send({ method: `${pathOf("Unknown")}`, headers, body: [] });
      expect(answer.httpStatus).toBe(200);
    }
    const headers = { "content-type": "application/proto; x=y" };
    const answer = await clients["HTTP/1.1"].send({ method: "/no.Service/Method", headers, body: [] });
    expect(answer.httpStatus).toBe(501);
  });
});
