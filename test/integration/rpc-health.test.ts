import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type GrpcJsClient, grpcJsCall, grpcJsClient, loadInterface } from "../support/grpc-js.ts";
import {
  lanes,
  type RpcService,
  type RpcServiceOptions,
  serviceName,
  startRpcService,
} from "../support/rpc-service.ts";

const grpcInterface = loadInterface();
let service: RpcService;
let client: GrpcJsClient;
beforeEach(async () => {
  await start({ fastLane: true });
});
async function start(options: RpcServiceOptions): Promise<void> {
  service = await startRpcService(options);
  client = grpcJsClient(grpcInterface, "grpc.health.v1.Health", service.http2Url);
}
async function stop(): Promise<void> {
  client.close();
  await service[Symbol.asyncDispose]();
}
afterEach(stop);

describe("Check", () => {
  test.each(["", serviceName])("returns the status of %j", async (name) => {
    expect(await grpcJsCall(client, "Check", { service: name })).toMatchObject({
      reply: { status: "SERVING" },
    });
    service.health.set("NOT_SERVING");
    expect(await grpcJsCall(client, "Check", { service: name })).toMatchObject({
      reply: { status: "NOT_SERVING" },
    });
  });

  test("is NOT_FOUND for other services", async () => {
    expect(await grpcJsCall(client, "Check", { service: "some.Service" })).toMatchObject({
      code: status.NOT_FOUND,
    });
  });

  test("answers over Connect too, as a load balancer may ask", async () => {
    const response = await fetch(`${service.http1Url}/grpc.health.v1.Health/Check`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(await response.json()).toEqual({ status: "SERVING" });
  });
});

test("List returns the status of every service", async () => {
  const { reply } = await grpcJsCall(client, "List", {});
  const serving = { status: "SERVING" };
  expect(reply).toEqual({ statuses: { "": serving, [serviceName]: serving } });
});

describe.each(lanes)("Watch $lane", ({ fastLane }) => {
  beforeEach(async () => {
    if (fastLane) return;
    await stop();
    await start({ fastLane });
  });

  function watch(service: string, options = {}) {
    const received: string[] = [];
    let code: number | undefined;
    const call = client.Watch({ service }, options);
    call.on("data", (reply: { status: string }) => received.push(reply.status));
    call.on("status", (end: { code: number }) => {
      code = end.code;
    });
    call.on("error", () => {});
    return {
      received,
      cancel: () => call.cancel(),
      untilReceived: (...statuses: string[]) =>
        eventually(`${statuses}, not just ${received}`, () => received.join() === statuses.join()),
      end: () => eventually("the end of the watch", () => code !== undefined && { code }),
    };
  }

  test("sends the status at once, then each change, then ends with the server", async () => {
    const watcher = watch(serviceName);
    await watcher.untilReceived("SERVING");
    service.health.set("NOT_SERVING");
    await watcher.untilReceived("SERVING", "NOT_SERVING");
    service.health.set("SERVING");
    await watcher.untilReceived("SERVING", "NOT_SERVING", "SERVING");
    service.endCalls.abort();
    expect(await watcher.end()).toEqual({ code: status.OK });
    expect(watcher.received).toEqual(["SERVING", "NOT_SERVING", "SERVING", "NOT_SERVING"]);
  });

  test("does not repeat NOT_SERVING when the server ends", async () => {
    const watcher = watch("");
    await watcher.untilReceived("SERVING");
    service.health.set("NOT_SERVING");
    service.endCalls.abort();
    expect(await watcher.end()).toEqual({ code: status.OK });
    expect(watcher.received).toEqual(["SERVING", "NOT_SERVING"]);
  });

  test("of an unknown service stays open until the server ends", async () => {
    const watcher = watch("some.Service");
    await watcher.untilReceived("SERVICE_UNKNOWN");
    service.health.set("NOT_SERVING");
    const other = watch("");
    await other.untilReceived("NOT_SERVING");
    expect(watcher.received).toEqual(["SERVICE_UNKNOWN"]);
    service.endCalls.abort();
    expect(await watcher.end()).toEqual({ code: status.OK });
    expect(watcher.received).toEqual(["SERVICE_UNKNOWN"]);
  });

  test("leaves nothing behind when its client cancels", async () => {
    let listening = 0;
    const watchHealth = service.health.watch.bind(service.health);
    service.health.watch = (service, listener) => {
      const unwatch = watchHealth(service, listener);
      listening++;
      return () => {
        listening--;
        unwatch();
      };
    };
    const watchers = [watch(""), watch(serviceName), watch("some.Service")];
    await eventually("three watches", () => listening === 3);
    for (const watcher of watchers) watcher.cancel();
    await eventually("no watch", () => listening === 0);
    expect(await watchers[0]!.end()).toEqual({ code: status.CANCELLED });
  });

  test("ends at the deadline of its caller", async () => {
    const watcher = watch("", { deadline: Date.now() + 200 });
    expect(await watcher.end()).toEqual({ code: status.DEADLINE_EXCEEDED });
    expect(watcher.received).toEqual(["SERVING"]);
  });
});
