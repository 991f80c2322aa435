import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, test, vi } from "vitest";
import { SessionService } from "../../gen/cis/v1/session_pb.ts";
import { FileService } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import {
  type DownloadSessionModel,
  DownloadSessionModelSchema,
  DownloadSessionService,
  KeepAliveResponseSchema,
  ListResponseSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ItemFileService } from "../../gen/content/library/item/v1/item_file_pb.ts";
import { ItemService } from "../../gen/content/library/v1/item_pb.ts";
import { LibraryService } from "../../gen/content/v1/library_pb.ts";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { connect, type Downlease, LeaseKeeper, type Renewal, SessionState } from "../../src/client/index.ts";
import { runCommand, startCommand } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { startServer } from "../support/hostile-server.ts";
import { startProcess } from "../support/process.ts";

// What a server can do to the library and the command line by its answers to calls.

vi.setConfig({ testTimeout: 60_000 });

const mebibyte = 1024 * 1024;

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

/** Opens a client of a server that answers every request in this way. */
async function clientOf(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer((request, response) => {
    request.resume();
    answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = connect({ url });
  open.push(client, {
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  });
  return { url, client };
}

/** 64 MiB of zeros; several of these are one gzip file, too. */
const zeros = gzipSync(Buffer.alloc(64 * mebibyte), { level: 9 });

function sendZeros(response: ServerResponse, status: number): void {
  response.writeHead(status, {
    "content-type": status === 200 ? "application/proto" : "application/json",
    "content-encoding": "gzip",
  });
  response.end(Buffer.concat(Array(8).fill(zeros)));
}

describe("an answer", () => {
  test.each([
    ["of a call", 1, (client: Downlease) => client.items.get({ libraryItemId: "i" })],
    ["with a list", 4, (client: Downlease) => client.sessions.list({})],
  ])("%s is refused over %i MiB, and the connection is closed", async (_, limit, call) => {
    let closed = 0;
    const { client } = await clientOf((_, response) => {
      response.on("close", () => closed++);
      response.writeHead(200, { "content-type": "application/proto" });
      const bytes = Buffer.alloc(64 * 1024);
      const write = () => {
        while (!response.destroyed && response.write(bytes));
        response.once("drain", write);
      };
      write();
    });
    await expect(call(client)).rejects.toMatchObject({
      code: Code.OutOfRange,
      rawMessage: `the answer of the server is larger than ${limit} MiB, the limit of this client`,
    });
    await eventually("the connection to be closed", () => closed === 1);
  });

  test("that is announced as larger is not read", async () => {
    const { client } = await clientOf((_, response) => {
      response.writeHead(200, { "content-type": "application/proto", "content-length": 2 ** 40 }).write("x");
    });
    await expect(client.items.get({ libraryItemId: "i" })).rejects.toMatchObject({ code: Code.OutOfRange });
  });

  test("with a long list is read up to the limit", async () => {
    const downloadSessionIds = Array.from({ length: 90_000 }, () => crypto.randomUUID());
    const bytes = toBinary(ListResponseSchema, create(ListResponseSchema, { downloadSessionIds }));
    expect(bytes.length).toBeGreaterThan(3 * mebibyte);
    const { client } = await clientOf((_, response) => {
      response.writeHead(200, { "content-type": "application/proto" }).end(bytes);
    });
    expect((await client.sessions.list({})).downloadSessionIds).toEqual(downloadSessionIds);
  });

  test.each([200, 400])(
    "that grows when it is decompressed does not fill the memory (status %i)",
    async (status) => {
      let calls = 0;
      const { url } = await clientOf((_, response) => {
        // The first call shows how much memory a call takes.
        if (calls++ === 0) response.writeHead(404).end();
        else sendZeros(response, status);
      });
      const script = fileURLToPath(new URL("../support/memory-client.ts", import.meta.url));
      const child = await startProcess(process.execPath, [script, url, "5"]);
      expect(await child.exited).toMatchObject({ code: 0 });
      const { grownMb, failure } = JSON.parse(child.stdout);
      expect(failure).toContain("larger than 1 MiB");
      expect(grownMb).toBeLessThan(100);
    },
  );

  test("does not keep fields that this release does not know", async () => {
    const { client } = await clientOf((_, response) => {
      response.writeHead(200, { "content-type": "application/proto" }).end(Buffer.from([0x78, 1, 0x78, 2]));
    });
    expect(await client.items.get({ libraryItemId: "i" })).not.toHaveProperty("$unknown");
  });

  test("with an error of deep JSON is an error, no crash", async () => {
    const { url } = await clientOf((_, response) => {
      response.writeHead(400, { "content-type": "application/json" }).end("[".repeat(500_000));
    });
    const { code, stderr } = await runCommand(["items", "--server", url]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^downlease: [^\n]{1,2100}\n$/);
  });
});

describe("the end of a lease", () => {
  /** Counts the heartbeats of a quarter of a second. */
  async function heartbeats(
    expirationTime: Pick<Timestamp, "seconds" | "nanos"> | undefined,
    clientProgress = 0n,
  ) {
    let count = 0;
    const server = await startServer((router) =>
      router.service(DownloadSessionService, {
        keepAlive() {
          count += 1;
          return create(KeepAliveResponseSchema, {
            clientProgress,
            ...(expirationTime && { expirationTime }),
          });
        },
      }),
    );
    const client = connect({ url: server.url });
    open.push(server, client);
    const renewals: Renewal[] = [];
    const errors: Error[] = [];
    await using keeper = new LeaseKeeper(client, "s", {
      onRenewed: (renewal) => renewals.push(renewal),
      onRetry: (error) => errors.push(error),
    });
    await eventually("a heartbeat", () => renewals.length + errors.length > 0);
    const since = performance.now();
    await eventually("a quarter of a second", () => performance.now() - since > 250);
    expect(keeper.lost.aborted).toBe(false);
    return { count, renewals, errors };
  }

  test("may be far in the future: the next heartbeat comes in an hour at most", async () => {
    const { count, renewals } = await heartbeats({ seconds: 253_402_300_799n, nanos: 0 }, 2n ** 62n);
    expect(count).toBe(1);
    expect(renewals).toMatchObject([{ progress: 100, leaseMs: 30 * 86_400_000 }]);
  });

  test.each([
    ["in the past", { seconds: 1n, nanos: 0 }],
    ["before the first year", { seconds: -62_135_596_801n, nanos: -5 }],
  ])("may be %s: heartbeats do not follow each other at once", async (_, expirationTime) => {
    const { count, renewals } = await heartbeats(expirationTime, -(2n ** 62n));
    expect(count).toBe(1);
    expect(renewals).toMatchObject([{ progress: 0, leaseMs: 0 }]);
  });

  test.each([
    ["no moment", { seconds: 2n ** 62n, nanos: 2 ** 31 - 1 }],
    ["missing", undefined],
  ])("may be %s: the heartbeat counts as failed", async (_, expirationTime) => {
    const { count, errors } = await heartbeats(expirationTime);
    expect(count).toBeLessThan(8);
    expect(errors[0]!.message).toMatch(/no valid expiration_time/);
  });

  test("is asked for again after a minute at most, whatever delay a refusal asks for", async () => {
    let calls = 0;
    const server = await startServer((router) =>
      router.service(DownloadSessionService, {
        keepAlive() {
          calls += 1;
          const retryDelay = { seconds: 2n ** 62n, nanos: 0 };
          throw new ConnectError("later", Code.Unavailable, undefined, [
            { desc: RetryInfoSchema, value: { retryDelay } },
          ]);
        },
      }),
    );
    const client = connect({ url: server.url });
    open.push(server, client);
    const pauses: number[] = [];
    await using _ = new LeaseKeeper(client, "s", { onRetry: (_, delayMs) => pauses.push(delayMs) });
    await eventually("a refusal", () => pauses.length > 0);
    expect(pauses).toEqual([60_000]);
    expect(calls).toBe(1);
  });
});

test.each([
  ["empty", ""],
  ["of two lines", "a\nb"],
  ["not ASCII", "ü"],
  ["long", "x".repeat(5_000)],
])("a login session is not opened with an id that is %s", async (_, id) => {
  const server = await startServer((router) => {
    router.service(SessionService, { create: () => ({ sessionId: id }) });
    router.service(ItemService, { get: () => ({}) });
  });
  const client = connect({ url: server.url, user: "alice", password: "secret" });
  open.push(server, client);
  await expect(client.items.get({ libraryItemId: "i" })).rejects.toMatchObject({
    rawMessage: "the server opened a login session without a valid id",
  });
});

describe("the command line", () => {
  const dangerous = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
  const name = "\x1b]0;owned\x07\u202egnp.exe";
  const never = { seconds: 2n ** 62n, nanos: 0 };

  /** A server whose answers lack what they must have, or hold what they can't. */
  async function strangeServer(session: DownloadSessionModel | undefined) {
    const server = await startServer((router) => {
      router.service(LibraryService, { list: () => ({ libraryIds: [name] }), get: () => ({}) });
      router.service(ItemService, {
        get: ({ libraryItemId }) => ({
          libraryItem: { id: libraryItemId, name, size: -(2n ** 63n), lastModifiedTime: never },
        }),
      });
      router.service(ItemFileService, { list: () => ({ files: [{ name, size: 2n ** 63n - 1n }] }) });
      router.service(FileService, { list: () => ({ files: [{ name, bytesTransferred: -1n }] }) });
      router.service(DownloadSessionService, {
        list: () => ({ downloadSessionIds: [name] }),
        get: () => (session === undefined ? {} : { downloadSession: session }),
        keepAlive: () => ({ expirationTime: never }),
      });
    });
    open.push(server);
    return server;
  }

  test.each<[number, ...string[]]>([
    [1, "items"],
    [0, "items", "show", "x"],
    [0, "sessions", "list"],
    [0, "sessions", "show", "x"],
    [0, "sessions", "show", "x", "--watch"],
    [1, "sessions", "keep-alive", "x"],
  ])("ends with %i and prints nothing odd after %s %s %s %s", async (expected, ...args) => {
    const { url } = await strangeServer(
      create(DownloadSessionModelSchema, {
        ...{ state: SessionState.CANCELED, libraryItemId: name, clientProgress: 2n ** 62n },
        expirationTime: create(TimestampSchema, never),
      }),
    );
    const { code, stdout, stderr } = await runCommand([...args.filter(Boolean), "--server", url]);
    expect(code, stderr).toBe(expected);
    if (expected === 1) expect(stderr).toMatch(/^downlease: the answer of the server has no valid \w+\n$/);
    expect((stdout + stderr).replaceAll("\n", "")).not.toMatch(dangerous);
  });

  test("says which answer has no session", async () => {
    const { url } = await strangeServer(undefined);
    const { code, stderr } = await runCommand(["sessions", "show", "x", "--server", url]);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "downlease: the answer of the server has no valid download_session\n",
    });
  });

  test("escapes the ids of sessions that it watches", async () => {
    const { url } = await strangeServer(create(DownloadSessionModelSchema, { libraryItemId: name }));
    const command = startCommand(["sessions", "list", "--watch", "--interval", "0.1", "--server", url]);
    await eventually("a line", () => command.stdout.includes("\n"));
    command.signal("SIGTERM");
    const { stdout } = await command.ended;
    expect(stdout.replaceAll("\n", "")).not.toMatch(dangerous);
    expect(stdout).toContain("\\x1b]0;owned");
  });

  test("looks up a bounded number of items at a time", async () => {
    let [current, most] = [0, 0];
    const server = await startServer((router) =>
      router.service(ItemService, {
        find: () => ({ libraryItemIds: Array.from({ length: 200 }, (_, index) => `id-${index}`) }),
        async get({ libraryItemId }) {
          if (libraryItemId === "disk") throw new ConnectError("no such item", Code.NotFound);
          most = Math.max(most, ++current);
          await new Promise(setImmediate);
          current -= 1;
          return { libraryItem: { name: "disk" } };
        },
      }),
    );
    open.push(server);
    const { code, stderr } = await runCommand(["items", "show", "disk", "--server", server.url]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/is the name of 200 items[\s\S]* {2}… 180 more\n$/);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(16);
  });
});
