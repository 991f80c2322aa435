import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { eventually } from "../support/eventually.ts";
import { linkTo } from "../support/links.ts";
import { rawConnection } from "../support/raw-connection.ts";
import { type Service, startService } from "../support/service.ts";
import { addItem, openSession } from "../support/session-files.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

vi.setConfig({ testTimeout: 60_000 });

/** More than a connection holds on its way. */
const size = 64 * 2 ** 20;
const fileName = "disk.img";

let directory: TempDir;
let item: string;
let service: Service;
/** Whether clients read as fast as they can. */
let isHurried = false;
const sockets: Socket[] = [];

beforeEach(async () => {
  isHurried = false;
  directory = await tempDir();
  item = await addItem(directory.path, { [fileName]: size });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await service?.kill();
  await directory.remove();
});

async function serve(...args: readonly string[]): Promise<void> {
  const store = ["--sqlite-path", join(directory.path, "sessions.db"), "--content-root", directory.path];
  service = await startService([...store, "--transfer-grace-seconds", "600", ...args]);
}

const pathOf = (link: string) => new URL(link).pathname + new URL(link).search;
const requestFor = (link: string, range = "") =>
  `GET ${pathOf(link)} HTTP/1.1\r\nHost: 127.0.0.1:${service.port}\r\n${range}\r\n`;

function beginDownload(link: string): Socket {
  const socket = connect(service.port, "127.0.0.1").on("error", () => {});
  sockets.push(socket);
  socket.write(requestFor(link));
  return socket;
}

interface Reading {
  bytes: number;
  /** The last bytes. */
  tail: string;
  readonly ended: Promise<void>;
}

/** Reads a little at a time, until the tests are in a hurry. */
function readSlowly(stream: AsyncIterable<Buffer>): Reading {
  const read = async () => {
    for await (const chunk of stream) {
      reading.bytes += chunk.length;
      reading.tail = (reading.tail + chunk.toString("latin1")).slice(-2000);
      if (!isHurried) await delay(10);
    }
  };
  const reading: Reading = { bytes: 0, tail: "", ended: Promise.resolve() };
  const ended = read();
  // A download that is cut is one that its test does not wait for.
  ended.catch(() => {});
  return Object.assign(reading, { ended });
}

const outcomes = () => service.logs.filter(({ msg }) => msg === "download").map(({ outcome }) => outcome);

test("downloads that move go on after the grace time, in sessions that live on", async () => {
  // The session would have expired before the grace time is over.
  await serve("--grace-seconds", "1", "--lease-seconds", "0.7", "--transfer-stall-seconds", "1.5");
  const link = await linkTo(service.url, await openSession(service.url, item), fileName);
  const socket = beginDownload(link);
  const overHttp1 = readSlowly(socket);
  const session = connectHttp2(service.url);
  const overHttp2 = readSlowly(session.request({ ":path": pathOf(link) }));
  const stalled = beginDownload(link);
  using late = await rawConnection(service.port);
  late.socket.write("GET /readyz HTTP/1.1\r\n");
  await eventually(
    "the downloads",
    () => overHttp1.bytes > 0 && overHttp2.bytes > 0 && stalled.bytesRead > 0,
  );
  stalled.pause();

  process.kill(service.pid, "SIGTERM");
  // On a connection with a download: served, as the last one.
  socket.write(requestFor(link, "Range: bytes=0-9\r\n"));
  expect(await late.closed).toBe("");
  await eventually("the end of the download that stands still", () => outcomes().includes("stalled"));
  expect((await fetch(`${service.adminUrl}/metrics`)).status).toBe(200);
  expect((await fetch(`${service.adminUrl}/readyz`)).status).toBe(503);
  isHurried = true;
  await Promise.all([overHttp1.ended, overHttp2.ended]);
  expect(overHttp2.bytes).toBe(size);
  expect(overHttp1.bytes).toBeGreaterThan(size);
  expect(overHttp1.tail).toMatch(/HTTP\/1.1 206 .*connection: close.*\r\n\r\n\0{10}$/is);
  expect(await service.exited).toEqual({ code: 0, signal: null });
  expect(outcomes().sort()).toEqual(["complete", "complete", "complete", "stalled"]);
});

test("a rolling restart of workers cuts no download, and a second signal does", async () => {
  await serve("--workers", "2", "--grace-seconds", "1");
  const session = await openSession(service.url, item);
  const link = await linkTo(service.url, session, fileName);
  const download = readSlowly(beginDownload(link));
  await eventually("the download", () => download.bytes > 0);
  process.kill(service.pid, "SIGHUP");
  const isRestarted = () => service.logs.some(({ msg }) => msg === "restarted the workers");
  await eventually("new workers", isRestarted, { withinMs: 20_000 });
  expect(download.bytes).toBeLessThan(size);
  isHurried = true;
  await eventually("the whole file", () => download.bytes > size, { withinMs: 20_000 });
  isHurried = false;
  const other = readSlowly(beginDownload(link));
  await eventually("another download", () => other.bytes > 0);
  process.kill(service.pid, "SIGTERM");
  await eventually("the beginning of the stop", () =>
    service.logs.some(({ msg, worker }) => msg === "stopping" && worker === undefined),
  );
  process.kill(service.pid, "SIGTERM");
  expect(await service.exited).toEqual({ code: 143, signal: null });
});
