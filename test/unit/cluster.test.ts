import { expect, test } from "vitest";
import { Connection } from "../../src/calls/connection.ts";
import { restartDelayMs } from "../../src/cluster/restart-delay.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { ProgramMetrics } from "../../src/telemetry/program-metrics.ts";

test("a worker is replaced at once the first time, then later and later up to a bound", () => {
  const delays = [1, 2, 3, 4, 8, 9, 1000].map(restartDelayMs);
  expect(delays).toEqual([0, 100, 200, 400, 6_400, 10_000, 10_000]);
});

const finished = {
  call: { protocol: "rest", requestId: "r", connection: new Connection("127.0.0.1"), headers: {} },
  operation: "DownloadSession.Get",
  outcome: "ok",
  durationMs: 2,
} as const;

/** The metrics of a worker that has answered so many calls and has a connection open. */
function worker(calls: number): Metrics {
  const metrics = new Metrics();
  for (let call = 0; call < calls; call++) metrics.observeCall(finished);
  metrics.connections.opened("h2");
  return metrics;
}

async function shown(program: ProgramMetrics, answered = 2): Promise<Record<string, number>> {
  const { body } = await program.expose({ answered });
  const lines = body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

const requests = 'downlease_requests_total{operation="DownloadSession.Get",protocol="rest",code="ok"}';
const sum = 'downlease_request_duration_seconds_sum{operation="DownloadSession.Get",protocol="rest"}';
const bucket =
  'downlease_request_duration_seconds_bucket{le="0.0025",operation="DownloadSession.Get",protocol="rest"}';
const connections = 'downlease_connections{protocol="h2"}';

test("the program counts what its workers counted, and has the connections they have", async () => {
  const program = new ProgramMetrics({ workers: 2 });
  program.keep(1, await worker(3).snapshot());
  program.keep(2, await worker(4).snapshot());
  expect(await shown(program)).toMatchObject({
    [requests]: 7,
    [sum]: expect.closeTo(0.014),
    [bucket]: 7,
    [connections]: 2,
    downlease_workers: 2,
    downlease_workers_answered: 2,
    downlease_worker_crashes_total: 0,
  });
});

test("a newer snapshot of a worker replaces the older one", async () => {
  const program = new ProgramMetrics({ workers: 2 });
  const one = worker(3);
  program.keep(1, await one.snapshot());
  one.observeCall(finished);
  program.keep(1, await one.snapshot());
  expect(await shown(program)).toMatchObject({ [requests]: 4, [bucket]: 4, [connections]: 1 });
});

test("what workers that have ended counted stays, their connections do not", async () => {
  const program = new ProgramMetrics({ workers: 2 });
  for (const number of [1, 2, 3]) program.keep(number, await worker(number).snapshot());
  program.retire(1);
  program.retire(2);
  program.retire(4);
  program.countCrash();
  expect(await shown(program, 1)).toMatchObject({
    [requests]: 6,
    [bucket]: 6,
    [connections]: 1,
    downlease_workers_answered: 1,
    downlease_worker_crashes_total: 1,
  });
});

test("the program starts when its first process does, and has the memory of all", async () => {
  const program = new ProgramMetrics({ workers: 2 });
  const alone = await shown(program);
  program.keep(1, await worker(0).snapshot());
  const both = await shown(program);
  expect(both.process_start_time_seconds).toBe(alone.process_start_time_seconds);
  expect(both.process_start_time_seconds).toBeGreaterThan(0);
  expect(both.process_resident_memory_bytes).toBeGreaterThan(alone.process_resident_memory_bytes! * 1.5);
  expect(alone).not.toHaveProperty("nodejs_eventloop_lag_p99_seconds");
  expect(both).toHaveProperty("nodejs_eventloop_lag_p99_seconds");
});
