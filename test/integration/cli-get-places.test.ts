import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { ItemService } from "../../gen/content/library/v1/item_pb.ts";
import { LibraryService } from "../../gen/content/v1/library_pb.ts";
import { mainPath, runCommand, startCommand } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { FaultServer } from "../support/fault-server.ts";
import { startServer } from "../support/hostile-server.ts";
import { startProcess } from "../support/process.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

vi.setConfig({ testTimeout: 60_000 });

// Where get writes to besides a directory for one item: the standard output, and a directory for each item of a library.

let directory: TempDir;
beforeEach(async () => {
  directory = await tempDir();
});
afterEach(() => directory.remove());

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe("get --output -", () => {
  let server: FaultServer;
  let disk: Buffer;
  beforeEach(async () => {
    server = await FaultServer.start();
    server.addFile("small.ovf", 600);
    disk = server.addFile("disk.vmdk", 3_000_000);
  });
  afterEach(() => server.crash());

  async function toStdout(...args: string[]) {
    const command = startCommand(["get", "item", "disk.vmdk", "-o", "-", "--server", server.url, ...args]);
    const { code, stderr } = await command.ended;
    return { code, stderr, bytes: command.stdoutBytes };
  }

  test("writes the file and nothing else; the rest goes to the standard error", async () => {
    const { code, stderr, bytes } = await toStdout();
    expect(code).toBe(0);
    expect(bytes.equals(disk)).toBe(true);
    expect(stderr).toContain("downlease: getting item into -\n");
    expect(stderr).toContain(`${sha256(disk)}  -\n`);
    expect(await toStdout("-q")).toMatchObject({ code: 0, stderr: "" });
    expect(server.ends).toEqual(["delete", "delete"]);
  });

  test.each([
    ["cut", [{ cutAfter: 1_000_000 }, { cutAfter: 500_000 }]],
    [
      "cut, and the server has no ranges",
      [{ cutAfter: 1_000_000 }, { ignoreRange: true, cutAfter: 1_500_000 }, { ignoreRange: true }],
    ],
    ["unavailable", [{ cutAfter: 700_000 }, { status: 503 }]],
  ])("goes on when the connection is %s, and writes no byte twice", async (_, faults) => {
    server.faults.push(...faults);
    const { code, bytes } = await toStdout("-q");
    expect(code).toBe(0);
    expect(sha256(bytes)).toBe(sha256(disk));
  });

  test("ends with 6 when a byte is wrong", async () => {
    server.faults.push({ flipAt: 2_000_000 });
    const { code, stderr } = await toStdout("-q");
    expect({ code, stderr }).toEqual({
      code: 6,
      stderr:
        "downlease: disk.vmdk: the sha256 differs from that of the server. What was written is wrong.\n",
    });
    expect(server.fileRequests).toHaveLength(1);
    expect(server.ends).toHaveLength(1);
    expect(server.ends[0]).toMatch(/^fail: /);
  });

  test("ends with 6 when the file changes after its first bytes", async () => {
    server.faults.push({ cutAfter: 1_000_000 });
    server.onFileRequest = () => {
      if (server.fileRequests.length !== 1) return;
      queueMicrotask(() => {
        server.contentVersion = "v2";
        server.addFile("disk.vmdk", 3_000_000, "other bytes");
      });
    };
    const { code, stderr, bytes } = await toStdout("-q");
    expect(code).toBe(6);
    expect(stderr).toMatch(/disk\.vmdk has changed\. What was written is of an earlier version/);
    expect(bytes.length).toBe(1_000_000);
  });

  test("is interrupted by Ctrl-C without a promise to resume, and cancels its session", async () => {
    server.everyFault = { stallAfter: 1000 };
    const command = startCommand(["get", "item", "disk.vmdk", "-o", "-", "--server", server.url, "-q"]);
    await eventually("the first bytes", () => command.stdoutBytes.length > 0);
    command.signal("SIGINT");
    expect(await command.ended).toMatchObject({ code: 130, stderr: "downlease: interrupted.\n" });
    expect(server.ends).toEqual(["cancel"]);
  });

  test("into a pipe that is closed early ends with 141, silently, and ends its session", async () => {
    const command = `'${process.execPath}' '${mainPath}' get item disk.vmdk -q -o - --server ${server.url} | head -c 10 >/dev/null; echo "\${PIPESTATUS[0]}"`;
    const child = await startProcess("bash", ["-c", command]);
    await child.exited;
    expect({ stdout: child.stdout, stderr: child.stderr }).toEqual({ stdout: "141\n", stderr: "" });
    expect(server.ends).toHaveLength(1);
  });

  test("onto a full disk ends with 7 and one line", async () => {
    const command = `'${process.execPath}' '${mainPath}' get item disk.vmdk -q -o - --server ${server.url} >/dev/full; echo "$?"`;
    const child = await startProcess("bash", ["-c", command]);
    await child.exited;
    expect(child.stdout).toBe("7\n");
    expect(child.stderr).toMatch(/^downlease: the output can't be written: [^\n]+\n$/);
    expect(server.fileRequests).toHaveLength(1);
  });

  test("waits for a slow reader, and holds few bytes meanwhile", async () => {
    const command = `'${process.execPath}' '${mainPath}' get item disk.vmdk -q -o - --server ${server.url} --idle 0.5 | (sleep 1.2; sha256sum)`;
    const child = await startProcess("bash", ["-c", command]);
    await child.exited;
    expect(child.stdout).toBe(`${sha256(disk)}  -\n`);
    expect(server.fileRequests).toHaveLength(1);
  });

  test.each([
    [["a.vmdk", "b.vmdk"], "--output - writes one file: name one of item"],
    [["disk.vmdk", "--json"], "--json and --output - both write to the standard output"],
  ])("with %j is a mistake of usage", async (args, message) => {
    const outcome = await runCommand(["get", "item", "-o", "-", "--server", server.url, "-q", ...args]);
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr).toContain(message);
  });

  test("to a terminal is a mistake of usage", async () => {
    const args = ["get", "item", "disk.vmdk", "-o", "-", "--server", server.url];
    expect(await runCommand(args, { isTerminal: true })).toMatchObject({ code: 2, stdout: "" });
  });

  test("--limit-rate holds the connections of a get together to the rate", async () => {
    server.addFile("other.vmdk", 600_000);
    server.addFile("disk.vmdk", 600_000);
    const startedAt = performance.now();
    const out = join(directory.path, "out");
    const args = ["get", "item", "-q", "-o", out, "--server", server.url, "--limit-rate", "1 MB"];
    // The limit makes a connection silent for longer than --idle; that is not the fault of the server.
    expect(await runCommand([...args, "--idle", "0.1"])).toMatchObject({ code: 0 });
    // 1.2 MB at 1 MB/s, minus what may come in advance.
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    expect(server.fileRequests).toHaveLength(3);
    for (const rate of ["0", "1KB", "fast", "-1"]) {
      const wrong = await runCommand(["get", "item", "--limit-rate", rate]);
      expect(wrong).toMatchObject({ code: 2, stdout: "" });
    }
  });
});

describe("get LIBRARY/*", () => {
  let service: Service;
  let content: TempDir;
  beforeAll(async () => {
    content = await tempDir();
    for (const item of ["alpha", "beta", "gamma"]) {
      await mkdir(join(content.path, "lib", item), { recursive: true });
      await writeFile(join(content.path, "lib", item, `${item}.iso`), `the disk of ${item}`);
    }
    await mkdir(join(content.path, "empty"));
    // Its manifest contradicts it.
    await mkdir(join(content.path, "bad", "one"), { recursive: true });
    await mkdir(join(content.path, "bad", "two"), { recursive: true });
    await writeFile(join(content.path, "bad", "one", "disk.img"), "changed");
    await writeFile(join(content.path, "bad", "one", "disk.mf"), `SHA256(disk.img)= ${"0".repeat(64)}\n`);
    await writeFile(join(content.path, "bad", "two", "disk.img"), "as it should be");
    service = await startService(["--content-root", content.path]);
  });
  afterAll(async () => {
    await service.stop();
    await content.remove();
  });

  const getAll = (library: string, ...args: string[]) =>
    runCommand(["get", library, "-o", join(directory.path, "out"), "--server", service.url, ...args]);

  test("downloads every item into a directory of its own, with one summary", async () => {
    const { code, stdout, stderr } = await getAll("LIB/*");
    expect(code).toBe(0);
    expect(stdout.match(/^[0-9a-f]{64} {2}/gm)).toHaveLength(3);
    expect(stderr.match(/checksums verified/g)).toHaveLength(1);
    expect(stderr).toMatch(/^downlease: 3 files of 50 B in 3 of 3 items, checksums verified; 50 B fetched/m);
    for (const item of ["alpha", "beta", "gamma"]) {
      const path = join(directory.path, "out", item, `${item}.iso`);
      expect(await readFile(path, "utf8")).toBe(`the disk of ${item}`);
    }
  });

  test("goes on from what is there, and ends with a summary event", async () => {
    await getAll("lib/*", "-q");
    await writeFile(join(directory.path, "out", "beta", "beta.iso"), "the disk of bet");
    const { code, stdout } = await getAll("lib/*", "--json");
    expect(code).toBe(0);
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.filter(({ event }) => event === "item").map(({ name }) => name)).toEqual([
      "lib/alpha",
      "lib/beta",
      "lib/gamma",
    ]);
    expect(events.at(-1)).toEqual({
      event: "summary",
      items: 3,
      items_total: 3,
      files: 3,
      bytes_total: 50,
      bytes_fetched: 16,
      elapsed_ms: expect.any(Number),
    });
    const page = await readFile(new URL("../../docs/cli.md", import.meta.url), "utf8");
    const row = page.split("\n").find((line) => line.startsWith("| `summary` |"));
    for (const name of Object.keys(events.at(-1)).slice(1)) expect(row).toContain(`\`${name}\``);
  });

  test("goes on after an item that is wrong, and ends with its code", async () => {
    const { code, stderr } = await getAll("bad/*");
    expect(code).toBe(6);
    expect(stderr).toMatch(/^downlease: bad\/one: disk\.img: /m);
    expect(stderr).toMatch(/ in 1 of 2 items, /);
    expect(stderr).toMatch(/\ndownlease: 1 of 2 items could not be downloaded\n$/);
    expect(await readdir(join(directory.path, "out", "two"))).toEqual(["disk.img"]);
  });

  test("of an empty library downloads nothing", async () => {
    expect(await getAll("empty/*", "-q")).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test.each([
    ["nothing/*", [], 3, "there is no library 'nothing'"],
    ["lib/*", ["alpha.iso"], 2, "files can be named for one item only"],
    ["lib/*", ["-o", "-"], 2, "--output - writes one file, not all items"],
  ])("%s %j ends with %i", async (library, args, exit, message) => {
    const { code, stdout, stderr } = await getAll(library, "-q", ...args);
    expect({ code, stdout }).toEqual({ code: exit, stdout: "" });
    expect(stderr).toContain(message);
  });

  test.each([[["../up"]], [[".hidden"]], [["-rf"]], [["a", "A"]], [["a\u001b[2J"]]])(
    "refuses items called %j, before anything is written",
    async (names) => {
      await using server = await startServer((router) => {
        router.service(LibraryService, { get: () => ({ library: { name: "lib" } }) });
        router.service(ItemService, {
          list: () => ({ libraryItemIds: names }),
          get: ({ libraryItemId }) => ({ libraryItem: { name: libraryItemId } }),
        });
      });
      const out = join(directory.path, "out");
      const { code, stderr } = await runCommand(["get", "lib/*", "-o", out, "--server", server.url, "-q"]);
      expect(code).toBe(4);
      expect(stderr).toMatch(/^downlease: '[^\n]+' can't be the name of a directory: it [^\n]+\n$/);
      expect(stderr).not.toContain("\u001b");
      expect(await readdir(directory.path)).toEqual([]);
    },
  );
});
