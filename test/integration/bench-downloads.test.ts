import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { measure } from "../../bench/downloads/groups.ts";
import { readHttp1 } from "../../bench/downloads/http1-reader.ts";
import { readHttp2 } from "../../bench/downloads/http2-reader.ts";
import { type BenchLibrary, createLibrary } from "../../bench/downloads/library.ts";
import type { DownloadReader } from "../../bench/downloads/reader.ts";
import { cpuNanosOfTree, peakMemoryOf, processTree, resetPeakMemory } from "../../bench/process-figures.ts";
import { downloadGroups } from "../../bench/studies/downloads.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess } from "../support/process.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const fileBytes = 3 * 2 ** 20;
let directory: TempDir;
let library: BenchLibrary;
beforeAll(async () => {
  directory = await tempDir();
  library = await createLibrary(directory.path, fileBytes);
});
afterAll(() => directory?.remove());

type Behaviour = "whole" | "cut" | "missing" | "short";

/** A server of Node that answers with the file, or not quite. */
async function startServer(version: 1 | 2, behaviour: Behaviour) {
  const file = () => createReadStream(join(library.root, library.path));
  const status = behaviour === "missing" ? 404 : 200;
  const length = behaviour === "short" ? fileBytes - 1 : fileBytes;
  let server: Server;
  if (version === 1) {
    server = createServer((_req, res) => {
      res.writeHead(status, { "content-length": length });
      if (behaviour === "cut") res.write(Buffer.alloc(1000), () => res.socket?.resetAndDestroy());
      else if (behaviour === "whole") file().pipe(res);
      else res.end(Buffer.alloc(length));
    });
  } else {
    server = createHttp2Server().on("stream", (stream: ServerHttp2Stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": status });
      if (behaviour === "cut") stream.write(Buffer.alloc(1000), () => stream.destroy(new Error("cut")));
      else if (behaviour === "whole") file().pipe(stream);
      else stream.end(Buffer.alloc(length));
    });
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]: () => void server.close(),
  };
}

const readers: readonly (readonly [1 | 2, DownloadReader])[] = [
  [1, readHttp1],
  [2, readHttp2],
];

describe.each(readers)("the reader of HTTP/%d", (version, read) => {
  const readFrom = async (behaviour: Behaviour) => {
    using server = await startServer(version, behaviour);
    let received = 0;
    const source = { port: server.port, path: "/", bytes: fileBytes };
    const { done } = read(source, (bytes) => {
      received += bytes;
    });
    await done;
    return received;
  };

  test("counts the bytes of a whole file", async () => {
    expect(await readFrom("whole")).toBe(fileBytes);
  });

  test.each([
    ["another status", "missing", /404/],
    ["a connection that breaks", "cut", /ECONNRESET|closed the connection|ended the stream/],
    ["a file of another size", "short", /bytes/],
  ] as const)("fails with %s", async (_what, behaviour, message) => {
    await expect(readFrom(behaviour)).rejects.toThrow(message);
  });

  test("ends when `stop` is called", async () => {
    using server = await startServer(version, "whole");
    const reading = read({ port: server.port, path: "/", bytes: fileBytes }, () => reading.stop());
    await expect(reading.done).resolves.toBeUndefined();
  });
});

test("a server that does not send the file fails the measurement", async () => {
  using missing = await startServer(1, "missing");
  const running = { port: missing.port, http2Port: 0, pid: process.pid, path: "/" };
  await expect(measure(downloadGroups[0]!, running, fileBytes, 5)).rejects.toThrow("404");
});

test("the figures of a process are those of its children, too", async () => {
  const script = 'while (process.cpuUsage().user < 100_000);console.log("worked");setInterval(() => {}, 1e6)';
  const parent = await startProcess("/bin/sh", ["-c", `'${process.execPath}' -e '${script}'; true`]);
  try {
    await eventually("work", () => parent.stdout.includes("worked"));
    expect(cpuNanosOfTree(parent.pid)).toBeGreaterThanOrEqual(100e6);
    resetPeakMemory(parent.pid);
    // More than a shell takes.
    expect(peakMemoryOf(parent.pid)).toBeGreaterThan(20 * 2 ** 20);
  } finally {
    for (const pid of processTree(parent.pid)) process.kill(pid, "SIGKILL");
    await parent.exited;
  }
});
