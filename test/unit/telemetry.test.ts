import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { CallRecord } from "../../src/calls/call.ts";
import type { Requester } from "../../src/calls/client-address.ts";
import { Connection } from "../../src/calls/connection.ts";
import type { DownloadRecord } from "../../src/calls/download-record.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import { callObserver } from "../../src/telemetry/call-observer.ts";
import { downloadObserver } from "../../src/telemetry/download-observer.ts";
import { Health } from "../../src/telemetry/health.ts";
import { createLogger } from "../../src/telemetry/log.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import { preparationObserver } from "../../src/telemetry/preparation-observer.ts";
import { prettyLine } from "../../src/telemetry/pretty-log.ts";
import { StoreMonitor } from "../../src/telemetry/store-monitor.ts";
import { eventually } from "../support/eventually.ts";

const sessionId = "3f1c9b52-7a51-4b8e-9d8e-0c3b8f1f2a77";
const call = {
  protocol: "rest",
  requestId: "request-1",
  connection: new Connection("127.0.0.1"),
  headers: {},
} as const;
const peerOf = (requester: Requester) => requester.connection.peer;
const finished: CallRecord = {
  call,
  operation: "DownloadSession.KeepAlive",
  outcome: "ok",
  durationMs: 1.23456,
  sessionId,
};

function failed(error: ServiceError): CallRecord {
  return { ...finished, outcome: error.kind, error };
}

let lines: string[];
const log = () => pino({ base: null, level: "debug" }, { write: (line) => void lines.push(line) });
const logged = () => lines.map((line) => JSON.parse(line));

beforeEach(() => {
  lines = [];
});

describe("a finished call", () => {
  test.each([
    [
      `POST /api/content/library/item/download-session/${sessionId}`,
      "POST /api/content/library/item/download-session/3f1c9b52…",
    ],
    ["com.vmware.vapi.std.introspection.provider get", "com.vmware.vapi.std.introspection.provider get"],
    ["GET /wp-login.php", "GET /wp-login.php"],
    [`GET /${"a/".repeat(1000)}`, `GET /${"a/".repeat(125)}a`],
  ])("without an operation is logged with what was asked for, without ids: %s", (target, expected) => {
    const error = new ServiceError("downlease.operation.not_found");
    callObserver(new Metrics(), log(), peerOf)({ ...failed(error), target, sessionId: undefined });
    expect(logged()).toEqual([expect.objectContaining({ target: expected, reason: error.messageId })]);
    expect(prettyLine(false)(lines[0]!)).toContain(expected);
  });

  test("is logged with its session id", () => {
    callObserver(new Metrics(), log(), peerOf)(finished);
    expect(logged()).toEqual([
      {
        level: 30,
        time: expect.any(Number),
        msg: "call",
        operation: "DownloadSession.KeepAlive",
        protocol: "rest",
        outcome: "ok",
        durationMs: 1.235,
        peer: "127.0.0.1",
        requestId: "request-1",
        session: sessionId,
      },
    ]);
  });

  test.each([
    ["ok", "obj-103"],
    ["not_found", "obj…"],
  ] as const)("about an item is logged with it when it exists: %s", (outcome, item) => {
    callObserver(new Metrics(), log(), peerOf)({ ...finished, outcome, itemId: "obj-103" });
    expect(logged()).toMatchObject([{ item }]);
    expect(prettyLine(false)(lines[0]!)).toContain(` item ${item},`);
  });

  test.each(["obj-103", "ab", "a"])("is logged without the whole of a short id, %s", (short) => {
    callObserver(new Metrics(), log(), peerOf)({ ...finished, sessionId: short });
    expect(logged()).toMatchObject([{ session: `${short.slice(0, short.length / 2)}…` }]);
  });

  test.each([
    ["downlease.session.not_found", 30],
    ["downlease.call.canceled", 30],
    ["downlease.call.timed_out", 40],
    ["downlease.store.unavailable", 40],
    ["downlease.server.internal", 50],
  ] as const)("that was refused with %s is logged at level %i", (messageId, level) => {
    callObserver(new Metrics(), log(), peerOf)(failed(new ServiceError(messageId, [sessionId])));
    expect(logged()).toMatchObject([{ level, reason: messageId }]);
  });

  test("is logged at the level that the log has by then", () => {
    const changing = log();
    const observe = callObserver(new Metrics(), changing, peerOf);
    const routine = { ...finished, isRoutine: true };
    changing.level = "info";
    for (const level of ["info", "debug", "info"]) {
      changing.level = level;
      observe(finished);
      observe(routine);
    }
    expect(logged().map(({ level }) => level)).toEqual([30, 30, 20, 30]);
  });

  test("is logged with name, code and message of its cause, and no other members", () => {
    const cause = Object.assign(new TypeError("broken"), {
      code: "EBROKEN",
      command: { name: "evalsha", args: [`dl:{${sessionId}}`] },
    });
    callObserver(
      new Metrics(),
      log(),
      peerOf,
    )(failed(new ServiceError("downlease.server.internal", ["r"], cause)));
    const [line] = logged();
    expect(line.cause).toEqual({
      name: "TypeError",
      code: "EBROKEN",
      message: "broken",
      at: expect.arrayContaining([expect.stringContaining("telemetry.test.ts")]),
    });
    expect(lines[0]).not.toContain("evalsha");
  });

  test("with a cause that is not an error or has a huge message is logged in short", () => {
    const observe = callObserver(new Metrics(), log(), peerOf);
    observe(failed(new ServiceError("downlease.server.internal", ["r"], "x".repeat(10_000))));
    observe(failed(new ServiceError("downlease.server.internal", ["r"], new Error("y".repeat(10_000)))));
    const [text, error] = logged();
    expect(text.cause).toEqual({ name: "string", message: `${"x".repeat(500)}…` });
    expect(error.cause.message).toBe(`${"y".repeat(500)}…`);
  });

  test("that was refused for overload is counted in one line per second", () => {
    vi.useFakeTimers();
    try {
      const observe = callObserver(
        new Metrics(),
        pino({ level: "info" }, { write: (line) => void lines.push(line) }),
        peerOf,
      );
      const refuse = (times: number) => {
        for (let count = 0; count < times; count++) observe(failed(ServiceError.overloaded()));
      };
      refuse(100);
      expect(lines).toEqual([]);
      vi.advanceTimersByTime(999);
      refuse(20);
      vi.advanceTimersByTime(1);
      expect(logged()).toMatchObject([{ level: 40, msg: "overloaded: calls were refused", refused: 120 }]);
      vi.advanceTimersByTime(5000);
      expect(lines).toHaveLength(1);
      refuse(1);
      vi.advanceTimersByTime(1000);
      expect(logged()[1]).toMatchObject({ refused: 1 });
    } finally {
      vi.useRealTimers();
    }
  });

  test("that is refused in masses has a line at first, one a second with their number, and one when they end", () => {
    vi.useFakeTimers();
    try {
      const observe = callObserver(
        new Metrics(),
        pino({ base: null, level: "info" }, { write: (line) => void lines.push(line) }),
        peerOf,
      );
      const refusal = failed(new ServiceError("downlease.store.unavailable", [], new Error("gone")));
      for (let count = 0; count < 664; count++) observe(refusal);
      observe({ ...refusal, operation: "DownloadSession.Get" });
      observe(failed(new ServiceError("downlease.session.not_found", [sessionId])));
      vi.advanceTimersByTime(1000);
      observe({ ...refusal, call: { ...call, requestId: "request-2" } });
      vi.advanceTimersByTime(10_000);
      const same = {
        level: 40,
        operation: "DownloadSession.KeepAlive",
        outcome: "service_unavailable",
        reason: "downlease.store.unavailable",
      };
      expect(logged()).toMatchObject([
        { ...same, msg: "call", requestId: "request-1", cause: { message: "gone" } },
        { level: 40, msg: "call", operation: "DownloadSession.Get" },
        { level: 30, msg: "call", outcome: "not_found" },
        { ...same, msg: "more calls with this outcome", count: 663, requestId: "request-1" },
        { ...same, msg: "more calls with this outcome", count: 1, requestId: "request-2" },
        { ...same, msg: "no more calls with this outcome", count: 665 },
      ]);
      for (const line of lines.slice(3)) expect(line).not.toContain("gone");
    } finally {
      vi.useRealTimers();
    }
  });

  test("that is refused in masses has a line of its own at debug", () => {
    const observe = callObserver(new Metrics(), log(), peerOf);
    for (const messageId of ["downlease.session.not_found", "downlease.session.not_found"] as const)
      observe(failed(new ServiceError(messageId, [sessionId])));
    expect(logged()).toMatchObject([
      { level: 30, msg: "call" },
      { level: 20, msg: "call" },
    ]);
  });

  test("that fails because of a bug, or succeeds, always has a line of its own", () => {
    const observe = callObserver(
      new Metrics(),
      pino({ level: "info" }, { write: (line) => void lines.push(line) }),
      peerOf,
    );
    for (let count = 0; count < 3; count++) {
      observe(finished);
      observe(failed(new ServiceError("downlease.server.internal", ["r"])));
    }
    expect(logged().map(({ level }) => level)).toEqual([30, 50, 30, 50, 30, 50]);
  });

  test("below the level of the log is still counted", async () => {
    const metrics = new Metrics();
    callObserver(
      metrics,
      pino({ level: "warn" }, { write: (line) => void lines.push(line) }),
      peerOf,
    )(finished);
    expect(lines).toEqual([]);
    expect((await metrics.expose()).body).toContain("downlease_requests_total{");
  });
});

describe("on a terminal", () => {
  const pretty = prettyLine(false);

  test("a call is one line", () => {
    callObserver(new Metrics(), log(), peerOf)(finished);
    expect(pretty(lines[0]!)).toMatch(
      /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: DownloadSession\.KeepAlive ok 1\.2 ms, rest from 127\.0\.0\.1 session 3f1c9b52-7a51-4b8e-9d8e-0c3b8f1f2a77, request request-1\s*\n$/,
    );
  });

  test("a failed call shows its cause on the same line", () => {
    const error = new ServiceError("downlease.store.unavailable", [], new Error("Connection is closed."));
    callObserver(new Metrics(), log(), peerOf)(failed(error));
    const line = pretty(lines[0]!);
    expect(line).toContain("service_unavailable");
    expect(line).toContain("Connection is closed.");
    expect(line.trimEnd()).not.toContain("\n");
  });

  test("calls that are refused in masses are one line", () => {
    vi.useFakeTimers();
    try {
      const observe = callObserver(
        new Metrics(),
        pino({ base: null }, { write: (line) => void lines.push(line) }),
        peerOf,
      );
      for (let count = 0; count < 3; count++)
        observe(failed(new ServiceError("downlease.session.not_found", [sessionId])));
      vi.advanceTimersByTime(2000);
    } finally {
      vi.useRealTimers();
    }
    expect(pretty(lines[1]!)).toMatch(
      /INFO: more calls with this outcome, the last: DownloadSession\.KeepAlive not_found 1\.2 ms, .*"count":2\}\n$/,
    );
    expect(pretty(lines[2]!)).toMatch(
      /INFO: DownloadSession\.KeepAlive not_found: no more calls with this outcome .*"count":3\}\n$/,
    );
  });

  test("a session id with control characters does not steer the terminal", () => {
    callObserver(new Metrics(), log(), peerOf)({ ...finished, sessionId: "a\u001b[2J\nbcd" });
    const line = pretty(lines[0]!);
    expect(line).toContain("session a?[2…,");
    expect(line).not.toContain("\u001b");
  });

  test("other lines show their message and members", () => {
    log().info({ url: "http://127.0.0.1:8080" }, "ready");
    expect(pretty(lines[0]!)).toMatch(/INFO: ready \{"url":"http:\/\/127\.0\.0\.1:8080"\}\n$/);
  });
});

describe("metrics", () => {
  test("count and measure calls by operation, protocol and outcome", async () => {
    const metrics = new Metrics();
    metrics.observeCall(finished);
    metrics.observeCall(finished);
    metrics.observeCall(failed(new ServiceError("downlease.session.not_found", [sessionId])));
    const { contentType, body } = await metrics.expose();
    expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
    const labels = 'operation="DownloadSession.KeepAlive",protocol="rest"';
    expect(body).toContain(`downlease_requests_total{${labels},code="ok"} 2\n`);
    expect(body).toContain(`downlease_requests_total{${labels},code="not_found"} 1\n`);
    expect(body).toContain(`downlease_request_duration_seconds_bucket{le="0.001",${labels}} 0\n`);
    expect(body).toContain(`downlease_request_duration_seconds_bucket{le="0.0025",${labels}} 3\n`);
    expect(body).toContain(`downlease_request_duration_seconds_count{${labels}} 3\n`);
  });

  test("measure round trips to Redis by script", async () => {
    const metrics = new Metrics();
    metrics.observeRoundTrip("keepAlive-1", 0.0002);
    const { body } = await metrics.expose();
    expect(body).toContain('downlease_redis_round_trip_seconds_bucket{le="0.0001",script="keepAlive-1"} 0\n');
    expect(body).toContain(
      'downlease_redis_round_trip_seconds_bucket{le="0.00025",script="keepAlive-1"} 1\n',
    );
  });

  test("count open connections by protocol", async () => {
    const metrics = new Metrics();
    metrics.connections.opened("h2");
    metrics.connections.opened("h2");
    metrics.connections.closed("h2");
    const { body } = await metrics.expose();
    expect(body).toContain('downlease_connections{protocol="http1"} 0\n');
    expect(body).toContain('downlease_connections{protocol="h2"} 1\n');
  });

  test("of the process are among them, and two apps do not share theirs", async () => {
    const metrics = new Metrics();
    metrics.observeCall(finished);
    const { body } = await new Metrics().expose();
    expect(body).toContain("process_resident_memory_bytes");
    expect(body).not.toContain("KeepAlive");
  });
});

describe("the store monitor", () => {
  /** A store that answers while `isUp`. */
  function fakeStore(isUp: boolean) {
    return {
      isUp,
      probes: 0,
      async probe() {
        this.probes++;
        if (this.isUp) return;
        throw new ServiceError("downlease.store.unavailable", [], new Error("database or disk is full"));
      },
      async describe() {},
    };
  }
  test("stays NOT_SERVING after a shutdown", () => {
    const health = new Health(["some.Service"]);
    health.set("SERVING");
    health.shutDown();
    health.set("SERVING");
    expect([...health.statuses.values()]).toEqual(["NOT_SERVING", "NOT_SERVING"]);
  });

  const statusOf = (health: Health) => health.statuses.get("");

  test("reports a store that answers before it has started", async () => {
    const health = new Health([]);
    const monitor = new StoreMonitor({ store: fakeStore(true), health, log: log() });
    await monitor.start();
    expect(statusOf(health)).toBe("SERVING");
    expect(lines).toEqual([]);
    monitor.stop();
  });

  test("gives a store an interval to answer, for example to connect", async () => {
    const health = new Health([]);
    const store = fakeStore(false);
    const monitor = new StoreMonitor({ store, health, log: log(), intervalMs: 10_000 });
    const started = monitor.start();
    await eventually("a second probe", () => store.probes > 1);
    store.isUp = true;
    await started;
    expect(statusOf(health)).toBe("SERVING");
    expect(lines).toEqual([]);
    monitor.stop();
  });

  test("follows the store down and up, and logs each change once", async () => {
    const health = new Health(["some.Service"]);
    const store = fakeStore(true);
    const monitor = new StoreMonitor({ store, health, log: log(), intervalMs: 10 });
    await monitor.start();
    store.isUp = false;
    await eventually("NOT_SERVING", () => statusOf(health) === "NOT_SERVING");
    const probes = store.probes;
    await eventually("two more probes", () => store.probes >= probes + 2);
    expect(health.statuses.get("some.Service")).toBe("NOT_SERVING");
    store.isUp = true;
    await eventually("SERVING", () => statusOf(health) === "SERVING");
    monitor.stop();
    expect(logged()).toMatchObject([
      {
        level: 40,
        msg: "not ready: no session can be stored: database or disk is full",
        cause: { name: "Error", message: "database or disk is full" },
      },
      { level: 30, msg: "ready again: sessions can be stored", downMs: expect.any(Number) },
    ]);
  });

  test("leaves the health alone once it is stopped, even when an answer arrives later", async () => {
    const health = new Health([]);
    const answer = Promise.withResolvers<void>();
    const store = { probe: () => answer.promise, describe: async () => {} };
    const monitor = new StoreMonitor({ store, health, log: log() });
    const started = monitor.start();
    monitor.stop();
    answer.resolve();
    await started;
    expect(statusOf(health)).toBe("NOT_SERVING");
  });
});

describe("the log as JSON", () => {
  afterEach(() => vi.restoreAllMocks());

  test("is written in whole lines that do not mix with those of other processes on the same pipe", async () => {
    const chunks: string[] = [];
    vi.spyOn(process.stdout, "write").mockImplementation((chunk) => chunks.push(String(chunk)) > 0);
    const own = await createLogger({ level: "info", format: "json" });
    const texts = Array.from({ length: 50 }, (_, index) => `${index} ${"\u00e4".repeat(60 + index)}`);
    for (const text of texts) own.info(text);
    await eventually("the last line", () => chunks.at(-1)?.includes(texts.at(-1)!));
    expect(chunks.length).toBeLessThan(texts.length / 4);
    for (const chunk of chunks) {
      expect(Buffer.byteLength(chunk)).toBeLessThanOrEqual(4096);
      expect(chunk).toMatch(/\n$/);
    }
    expect(
      chunks
        .join("")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).msg),
    ).toEqual(texts);
  });
});

describe("a download", () => {
  const refused: DownloadRecord = {
    outcome: "refused",
    status: 404,
    bytesSent: 0,
    durationMs: 1,
    peer: "127.0.0.1",
    requestId: "request-1",
  };

  test("that is refused as many others are shares lines with them; one that was sent does not", () => {
    vi.useFakeTimers();
    try {
      const observer = downloadObserver(
        new Metrics(),
        pino({ level: "info" }, { write: (line) => void lines.push(line) }),
      );
      for (let count = 0; count < 50; count++) {
        observer.finished(refused);
        if (count < 2) observer.finished({ ...refused, outcome: "complete", status: 200 });
      }
      vi.advanceTimersByTime(5000);
    } finally {
      vi.useRealTimers();
    }
    expect(logged()).toMatchObject([
      { msg: "download", outcome: "refused" },
      { msg: "download", outcome: "complete" },
      { msg: "download", outcome: "complete" },
      { level: 30, msg: "more downloads with this outcome", outcome: "refused", count: 49 },
      { level: 30, msg: "no more downloads with this outcome", outcome: "refused", count: 50 },
    ]);
  });
});

describe("a preparation", () => {
  const file = { itemId: "item", contentVersion: "v", fileName: "disk" };
  const broken = Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" });

  test.each([
    [{ outcome: "prepared" }, 20, {}],
    [{ outcome: "lost" }, 20, {}],
    [
      { outcome: "failed", messageId: "downlease.file.unreadable", cause: broken },
      40,
      { reason: "downlease.file.unreadable", cause: { code: "EIO", message: "EIO: i/o error, read" } },
    ],
    [
      { outcome: "interrupted", cause: new ServiceError("downlease.content.unavailable", [], broken) },
      40,
      { reason: "downlease.content.unavailable", cause: { code: "EIO" } },
    ],
    [
      { outcome: "interrupted", cause: new ServiceError("downlease.server.stopping") },
      20,
      { reason: "downlease.server.stopping" },
    ],
  ] as const)("that ends as %o is logged at level %i", (end, level, more) => {
    preparationObserver(new Metrics(), log()).ended({ file, durationMs: 12.6, ...end });
    const line = { msg: "preparation", item: "item", file: "disk", outcome: end.outcome, durationMs: 13 };
    expect(logged()).toMatchObject([{ level, ...line, ...more }]);
  });

  test("that fails as many others do shares lines with them", () => {
    vi.useFakeTimers();
    try {
      const observer = preparationObserver(
        new Metrics(),
        pino({ level: "info" }, { write: (line) => void lines.push(line) }),
      );
      const end = { outcome: "failed", messageId: "downlease.file.unreadable", cause: broken } as const;
      for (let count = 0; count < 100; count++) observer.ended({ file, durationMs: 1, ...end });
      observer.ended({ file, durationMs: 1, outcome: "interrupted", cause: broken });
      vi.advanceTimersByTime(5000);
    } finally {
      vi.useRealTimers();
    }
    const same = { level: 40, outcome: "failed", reason: "downlease.file.unreadable" };
    expect(logged()).toMatchObject([
      { ...same, msg: "preparation" },
      { level: 40, msg: "preparation", outcome: "interrupted" },
      { ...same, msg: "more preparations with this outcome", count: 99, item: "item", file: "disk" },
      { ...same, msg: "no more preparations with this outcome", count: 100 },
    ]);
  });

  test("is counted while it runs, by its bytes, and by its outcome", async () => {
    const metrics = new Metrics();
    const observer = preparationObserver(metrics, pino({ level: "silent" }));
    const values = async () => {
      const { body } = await metrics.expose();
      return body.split("\n").filter((line) => /^downlease_prepar/.test(line));
    };
    observer.began();
    observer.began();
    observer.read(5);
    observer.read(7);
    observer.ended({ file, outcome: "prepared", durationMs: 1 });
    expect((await values()).sort()).toEqual([
      "downlease_preparations_running 1",
      'downlease_preparations_total{outcome="prepared"} 1',
      "downlease_prepared_bytes_total 12",
    ]);
  });
});
