import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";
import { startService } from "../support/service.ts";

test("an outage of Redis under many heartbeats has a line when it begins, one a second and one when it ends", async () => {
  await using redis = await startRedis();
  await using service = await startService(["--redis-url", redis.url, "--insecure-no-auth"]);
  const heartbeat = async () => {
    const path = "/com/vmware/content/library/item/download-session/id:nobody?~action=keep-alive";
    const response = await fetch(service.url + path, { method: "POST" });
    await response.arrayBuffer();
    return response.status;
  };
  expect(await heartbeat()).toBe(404);
  redis.pause();
  const statuses: number[] = [];
  for (let round = 0; round < 3; round++) {
    statuses.push(...(await Promise.all(Array.from({ length: 100 }, heartbeat))));
  }
  redis.resume();
  expect(statuses.every((status) => status === 503)).toBe(true);
  const lines = () => service.logs.filter(({ outcome }) => outcome === "service_unavailable");
  await eventually("the last line", () => lines().at(-1)?.msg === "no more calls with this outcome");
  const [first, ...others] = lines();
  expect(first).toMatchObject({ msg: "call", level: "warn", cause: { at: expect.any(Array) } });
  expect(others.at(-1)).toMatchObject({ count: statuses.length });
  const counts = others.slice(0, -1).map(({ msg, count }) => {
    expect(msg).toBe("more calls with this outcome");
    return Number(count);
  });
  expect(counts.reduce((sum, count) => sum + count, 1)).toBe(statuses.length);
  expect(lines().length).toBeLessThan(10);
});
