import { connect } from "node:http2";
import { Client, credentials, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ServiceError } from "../../src/domain/errors.ts";
import { eventually } from "../support/eventually.ts";
import { type GrpcJsClient, grpcJsCall, grpcJsClient, loadInterface } from "../support/grpc-js.ts";
import { lanes, type RpcService, serviceName, startRpcService } from "../support/rpc-service.ts";

describe.each(lanes)("$lane", ({ fastLane }) => {
  const grpcInterface = loadInterface();
  let service: RpcService;
  let client: GrpcJsClient;
  beforeEach(async () => {
    service = await startRpcService({ fastLane });
    client = grpcJsClient(grpcInterface, serviceName, service.http2Url);
  });
  afterEach(async () => {
    client.close();
    await service[Symbol.asyncDispose]();
  });

  const stalled = { download_session_id: "stalled" };
  const stalledCall = () => eventually("the call in the store", () => service.stalledCalls() > 0);
  const onlyRecord = () => eventually("the end of the call in the server", () => service.records[0]);

  describe("a call that takes too long", () => {
    test("ends at its deadline for a grpc-js client", async () => {
      const { code } = await grpcJsCall(client, "Get", stalled, { deadline: Date.now() + 100 });
      expect(code).toBe(status.DEADLINE_EXCEEDED);
      // grpc-js resets the stream at its own deadline: whichever the server sees first.
      expect(["timed_out", "canceled"]).toContain((await onlyRecord()).outcome);
    });

    test("ends at its deadline for a client that leaves that to the server", async () => {
      const trailers = await rawGrpc(service.http2Url, "Get", { "grpc-timeout": "100m" });
      expect(trailers).toMatchObject({
        "grpc-status": String(status.DEADLINE_EXCEEDED),
        "grpc-message": encodeURI("The deadline of the call has passed; its outcome is unknown."),
      });
      expect(await onlyRecord()).toMatchObject({ outcome: "timed_out" });
    });

    test("ends at its deadline over Connect", async () => {
      const response = await fetch(`${service.http1Url}/${serviceName}/Get`, {
        method: "POST",
        headers: { "content-type": "application/json", "connect-timeout-ms": "100" },
        body: JSON.stringify({ downloadSessionId: "stalled" }),
      });
      expect(await response.json()).toMatchObject({ code: "deadline_exceeded" });
      expect(await onlyRecord()).toMatchObject({ outcome: "timed_out" });
    });

    test("ends when its client cancels it", async () => {
      const call = client.Get(stalled, () => {});
      await stalledCall();
      call.cancel();
      expect(await onlyRecord()).toMatchObject({ outcome: "canceled" });
    });

    test("ends when its client goes away, and the log still has the peer", async () => {
      const abort = new AbortController();
      const gone = expect(rawGrpc(service.http2Url, "Get", {}, { signal: abort.signal })).rejects.toThrow();
      await stalledCall();
      abort.abort();
      await gone;
      expect(await onlyRecord()).toMatchObject({
        outcome: "canceled",
        call: { connection: { peer: "127.0.0.1" } },
      });
    });

    test("ends with UNAVAILABLE when the shutdown time is over", async () => {
      const calls = Promise.all(Array.from({ length: 30 }, () => grpcJsCall(client, "Get", stalled)));
      await eventually("all calls in the store", () => service.stalledCalls() === 30);
      service.endCalls.abort(new ServiceError("downlease.server.stopping"));
      for (const { code, details } of await calls) {
        expect(code).toBe(status.UNAVAILABLE);
        expect(details).toBe("The server is shutting down. Try again.");
      }
    });
  });

  test("a deadline beyond what timers can wait for is ignored", async () => {
    const trailers = rawGrpc(service.http2Url, "Get", { "grpc-timeout": "99999999H" }, { id: "x" });
    expect(await trailers).toMatchObject({ "grpc-status": String(status.NOT_FOUND) });
  });

  describe("requests that match no method", () => {
    const unknown = [
      ["an unknown service", "/some.Service/Method"],
      ["an unknown method", `/${serviceName}/Nothing`],
      ["a path that is not a method", "/"],
    ] as const;
    test.each(unknown)("%s is UNIMPLEMENTED over gRPC, with any body", async (_, path) => {
      const raw = new Client(new URL(service.http2Url).host, credentials.createInsecure());
      const same = (bytes: Buffer) => bytes;
      const code = await new Promise((resolve) =>
        raw.makeUnaryRequest(path, same, same, Buffer.from([0xff, 0xff]), (error) => resolve(error?.code)),
      );
      raw.close();
      expect(code).toBe(status.UNIMPLEMENTED);
    });

    const post = (path: string, contentType: string) =>
      fetch(`${service.http1Url}${path}`, {
        method: "POST",
        headers: { "content-type": contentType },
        body: "?",
      });

    test.each(unknown)("%s is UNIMPLEMENTED over gRPC-Web", async (_, path) => {
      const response = await post(path, "application/grpc-web+proto");
      expect(response.status).toBe(200);
      expect(await response.text()).toContain("\r\ngrpc-status: 12\r\n");
    });

    test.each(unknown)("%s is unimplemented over Connect proto", async (_, path) => {
      const response = await post(path, "application/proto");
      expect(response.status).toBe(501);
      expect(await response.json()).toMatchObject({ code: "unimplemented" });
    });

    test.each(unknown)("%s ends a Connect stream as unimplemented", async (_, path) => {
      const response = await post(path, "application/connect+json");
      expect(response.status).toBe(200);
      const [flags, ...bytes] = new Uint8Array(await response.arrayBuffer());
      expect(flags).toBe(2);
      expect(JSON.parse(Buffer.from(bytes.slice(4)).toString())).toMatchObject({
        error: { code: "unimplemented" },
      });
    });

    test("JSON to an unknown method of a served service is unimplemented over Connect", async () => {
      const response = await post(`/${serviceName}/Nothing`, "application/json");
      expect(response.status).toBe(501);
      expect(await response.json()).toMatchObject({
        code: "unimplemented",
        message: `There is no operation for POST /${serviceName}/Nothing.`,
      });
    });

    test.each(["/some.Service/Method", "/rest/com/vmware", "/"])("JSON to %s is not an RPC", async (path) => {
      expect(await (await post(path, "application/json")).text()).toBe("fallback");
    });

    test("a GET is not an RPC", async () => {
      expect(await (await fetch(`${service.http1Url}/healthz`)).text()).toBe("fallback");
      expect(await (await fetch(`${service.http1Url}/${serviceName}/Nothing`)).text()).toBe("fallback");
    });
  });

  /** A gRPC call over bare HTTP/2 for the session `id`; gives the trailers. The signal cuts the connection. */
  async function rawGrpc(
    url: string,
    method: string,
    headers: Record<string, string>,
    { id = "stalled", signal }: { id?: string; signal?: AbortSignal } = {},
  ): Promise<object> {
    const session = connect(url);
    signal?.addEventListener("abort", () => session.destroy(new Error("gone")));
    try {
      return await new Promise((resolve, reject) => {
        session.once("error", reject);
        const stream = session.request({
          ":method": "POST",
          ":path": `/${serviceName}/${method}`,
          "content-type": "application/grpc",
          te: "trailers",
          ...headers,
        });
        stream.once("error", reject);
        stream.once("trailers", resolve);
        // A failure may come in one block of headers.
        stream.once("response", (headers) => {
          if ("grpc-status" in headers) resolve(headers);
        });
        const message = [10, id.length, ...Buffer.from(id)];
        stream.end(Buffer.from([0, 0, 0, 0, message.length, ...message]));
        stream.resume();
      });
    } finally {
      session.destroy();
    }
  }
});
