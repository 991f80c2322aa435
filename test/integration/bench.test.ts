import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startProbedContender } from "../../bench/contender-process.ts";
import type { Driver, DriverCall, OpenDriver, Outcome, Target } from "../../bench/drivers/driver.ts";
import { drivers } from "../../bench/drivers/drivers.ts";
import { closedLoop, openLoop } from "../../bench/load.ts";
import { createSessions } from "../../bench/sessions-in-redis.ts";
import { sessionKey } from "../../src/stores/redis/keys.ts";
import { freePort } from "../support/ports.ts";
import { type Service, startService } from "../support/service.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { tempDir } from "../support/temp-dir.ts";

const callers = 30;
let service: Service;
/** One that can't reach its Redis. */
let cutOff: Service;
let redis: Redis;
let sessionIds: string[];

beforeAll(async () => {
  redis = new Redis(sharedRedisUrl());
  service = await startService(["--redis-url", sharedRedisUrl()]);
  cutOff = await startService(["--redis-url", `redis://127.0.0.1:${await freePort()}`]);
});

afterAll(async () => {
  await service.stop();
  await cutOff.stop();
  redis.disconnect();
});

beforeEach(async () => {
  sessionIds = Array.from({ length: 3 }, () => crypto.randomUUID());
  await createSessions(sharedRedisUrl(), sessionIds);
});

async function withClient<T>(
  driver: Driver,
  target: Pick<Target, "port" | "headers"> & { readonly sessionIds?: readonly string[] },
  use: (open: OpenDriver) => Promise<T>,
): Promise<T> {
  const open = await driver.open({ sessionIds, callers, ...target });
  try {
    return await use(open);
  } finally {
    open.close();
  }
}

async function outcomes(calls: readonly DriverCall[], times: number): Promise<Record<Outcome, number>> {
  const counts = { accepted: 0, unavailable: 0, failed: 0 };
  await Promise.all(
    calls.map(async (call) => {
      for (let time = 0; time < times; time++) counts[await call()]++;
    }),
  );
  return counts;
}

describe.each(Object.values(drivers))("the driver $name", (driver) => {
  test("counts a heartbeat as accepted when the service has renewed the session", async () => {
    const counts = await withClient(driver, service, ({ calls }) => outcomes(calls, 10));
    expect(counts).toEqual({ accepted: callers * 10, unavailable: 0, failed: 0 });
    const stored = await Promise.all(sessionIds.map((id) => redis.hget(sessionKey(id), "p")));
    expect(stored).toEqual(sessionIds.map(() => "10"));
  });

  test("does not count a heartbeat for a session that is not there", async () => {
    const counts = await withClient(driver, { port: service.port, sessionIds: ["missing"] }, ({ calls }) =>
      outcomes(calls, 2),
    );
    expect(counts).toEqual({ accepted: 0, unavailable: 0, failed: callers * 2 });
  });

  test("distinguishes unavailable from other refusals", async () => {
    const counts = await withClient(driver, cutOff, ({ calls }) => outcomes(calls, 1));
    expect(counts).toEqual({ accepted: 0, unavailable: callers, failed: 0 });
  });

  test("rejects when the connection is gone", async () => {
    await using mute = await startMuteServer();
    await withClient(driver, mute, async ({ calls }) => {
      const answers = Promise.allSettled(calls.map((call) => call()));
      await mute.hungUp();
      const { status } = (await answers)[0]!;
      expect(status).toBe("rejected");
      await expect(calls[0]!()).rejects.toThrow();
    });
  });
});

describe("load", () => {
  const clients = [
    { protocol: "rest", driver: drivers.rest },
    { protocol: "grpc", driver: drivers.grpc },
  ];

  test("counts every call that the service has served", async () => {
    const before = await servedKeepAlives();
    for (const { protocol, driver } of clients) {
      const closed = await withClient(driver, service, ({ calls }) => closedLoop(calls, 0.2));
      const open = await withClient(driver, service, ({ calls }) =>
        openLoop(calls, { rate: 1000, seconds: 0.2, whenBusy: "wait" }),
      );
      for (const result of [closed, open]) {
        expect(result).toMatchObject({ unavailable: 0, failed: 0, lost: 0, unsent: 0, error: undefined });
        expect(result.latencies.length).toBe(result.accepted);
      }
      expect(closed.accepted).toBeGreaterThanOrEqual(callers);
      expect(open.accepted).toBeGreaterThan(0);
      before[protocol]! += closed.accepted + open.accepted;
    }
    expect(await servedKeepAlives()).toEqual(before);
  });
});

/** Keep-alives that the service has renewed so far, by protocol, according to its metrics. */
async function servedKeepAlives(): Promise<Record<string, number>> {
  // A page of metrics may be a second old.
  await delay(1100);
  const text = await (await fetch(`${service.adminUrl}/metrics`)).text();
  const served: Record<string, number> = { rest: 0, grpc: 0 };
  for (const [line, value] of text.matchAll(
    /^downlease_requests_total\{operation="DownloadSession.KeepAlive",.*code="ok"\} (\d+)$/gm,
  )) {
    for (const protocol of Object.keys(served)) {
      if (line.includes(`protocol="${protocol}"`)) served[protocol]! += Number(value);
    }
  }
  return served;
}

test("a contender that does not start is named", async () => {
  const broken = { name: "broken", args: () => ["--eval", "process.exit(3)"] };
  await using directory = await tempDir();
  await expect(startProbedContender(broken, sharedRedisUrl(), directory.path)).rejects.toThrow(
    "broken did not start",
  );
});

test("an open loop drops what is due when every caller is busy", async () => {
  const pending: ((outcome: Outcome) => void)[] = [];
  const call: DriverCall = () => new Promise((resolve) => pending.push(resolve));
  const running = openLoop([call, call], { rate: 10_000, seconds: 0.1, whenBusy: "drop" });
  setTimeout(() => pending.forEach((resolve) => void resolve("unavailable")), 150);
  const result = await running;
  expect(result).toMatchObject({ accepted: 0, unavailable: 2, lost: 0 });
  expect(result.unsent).toBeGreaterThan(0);
});

test("calls that are cut off are lost, and the reason is kept", async () => {
  await using mute = await startMuteServer();
  const result = await withClient(drivers.rest, mute, async ({ calls }) => {
    const running = openLoop(calls, { rate: 10_000, seconds: 0.1, whenBusy: "drop" });
    await mute.hungUp();
    return running;
  });
  expect(result).toMatchObject({ accepted: 0, unavailable: 0, failed: 0 });
  expect(result.lost).toBeGreaterThan(0);
  expect(result.error).toBeInstanceOf(Error);
});

test("a caller over HTTP/1.1 connects again after an answer that closes the connection", async () => {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.end("HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const target = { port: (server.address() as AddressInfo).port, sessionIds, callers: 2 };
  const open = await drivers.rest.open(target);
  expect(await outcomes(open.calls, 3)).toEqual({ accepted: 0, unavailable: 6, failed: 0 });
  expect(connections).toBeGreaterThanOrEqual(6);
  open.close();
  server.close();
});

/** Takes requests and answers none. `hungUp` waits for the first and closes all connections, those to come as well. */
async function startMuteServer() {
  const requestArrived = Promise.withResolvers<void>();
  const sockets = new Set<Socket>();
  let isHungUp = false;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => requestArrived.resolve());
    if (isHungUp) socket.destroy();
    else sockets.add(socket);
  });
  const hangUp = () => {
    isHungUp = true;
    for (const socket of sockets) socket.destroy();
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async hungUp() {
      await requestArrived.promise;
      hangUp();
    },
    async [Symbol.asyncDispose]() {
      hangUp();
      server.close();
    },
  };
}
