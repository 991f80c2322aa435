import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { eventually } from "../support/eventually.ts";
import { residentMegabytes } from "../support/memory.ts";
import {
  frame,
  frameType,
  frameTypes,
  headerBlock,
  hpackText,
  http2Data,
  http2Hello,
  type RawConnection,
  rawConnection,
} from "../support/raw-connection.ts";
import { serviceName } from "../support/rpc-service.ts";
import { startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let directory: TempDir;
let usersFile: string;
beforeAll(async () => {
  directory = await tempDir();
  usersFile = join(directory.path, "users");
  await writeFile(usersFile, `alice:${cheapHash("correct horse")}:\n`, { mode: 0o600 });
});
afterAll(() => directory.remove());

const endStream = 1;
const endHeaders = 4;
const emptyMessage = "\0\0\0\0\0";

/** Bytes that open 998 streams on one connection, whose headers HPACK makes 12 kB of three bytes. */
function streams(path: string, message: string | undefined): string {
  const request = headerBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "a"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ]);
  // With incremental indexing: from now on the one byte 0xbe stands for 3,900.
  const seed = `${request}\x40${hpackText("x")}${hpackText("y".repeat(3900))}`;
  let bytes = http2Hello + frame(frameType.headers, endStream | endHeaders, 1, seed);
  for (let index = 1; index <= 998; index++) {
    const id = 2 * index + 1;
    bytes += frame(frameType.headers, endHeaders, id, `${request}\xbe\xbe\xbe`);
    if (message !== undefined) bytes += http2Data(id, message);
  }
  return bytes + frame(frameType.ping, 0, 0, "12345678");
}

const keepAliveStream = `/${serviceName}/KeepAliveStream`;

test.each([
  ["Health/Watch", "users", "/grpc.health.v1.Health/Watch", emptyMessage],
  ["server reflection", "users", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", undefined],
  ["KeepAliveStream", "users", keepAliveStream, undefined],
  ["KeepAliveStream while nobody has to log in", "none", keepAliveStream, undefined],
  ["KeepAlive without a message", "users", `/${serviceName}/KeepAlive`, undefined],
])("16 connections full of silent streams without credentials: %s", async (_, auth, path, message) => {
  const authentication = auth === "users" ? ["--users-file", usersFile] : ["--allowed-hosts", "a"];
  await using service = await startService([...authentication, "--content-root", directory.path]);
  const { port, pid, url } = service;
  const before = await residentMegabytes(pid);
  const bytes = streams(path, message);
  const clients: RawConnection[] = [];
  for (let count = 0; count < 16; count++) {
    const client = await rawConnection(port);
    clients.push(client);
    client.socket.write(bytes, "latin1");
    await eventually("all to be read", () => frameTypes(client.received).includes(frameType.ping));
  }
  const grown = (await residentMegabytes(pid)) - before;
  const login = await fetch(`${url}/api/session`, {
    method: "POST",
    headers: { authorization: basic("alice", "correct horse") },
  });
  expect(login.status, "others are served").toBe(201);
  expect(grown).toBeLessThan(60);
  for (const client of clients) client[Symbol.dispose]();
});
