import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCommand } from "../support/command.ts";
import { startHostileServer } from "../support/hostile-server.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let directory: TempDir;
let service: Service;

async function addItem(library: string, item: string, files: Record<string, string>): Promise<void> {
  await mkdir(join(directory.path, library, item), { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(directory.path, library, item, name), content);
  }
}

const disk = "x".repeat(3000);

beforeAll(async () => {
  directory = await tempDir();
  const sha256 = createHash("sha256").update(disk).digest("hex");
  await addItem("alpha", "photon", {
    "photon.ovf": "<Envelope/>",
    "disk.vmdk": disk,
    "photon.mf": `SHA256(disk.vmdk)= ${sha256}\n`,
    ".item.json": JSON.stringify({ id: "photon-id", description: "A disk" }),
  });
  await addItem("alpha", "tools", { "tools.iso": "iso" });
  await addItem("beta", "photon", { "photon.iso": "other" });
  await addItem("beta", "Tools", { "tools.iso": "iso" });
  service = await startService(["--content-root", directory.path]);
});
afterAll(async () => {
  await service.stop();
  await directory.remove();
});

const items = (...args: string[]) =>
  runCommand(["items", ...args], { env: { DOWNLEASE_SERVER: service.url } });

const cells = (stdout: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/));

describe("items", () => {
  test("lists the items of every library, by name", async () => {
    const { code, stdout, stderr } = await items();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/);
    expect(cells(stdout)).toEqual([
      ["LIBRARY", "NAME", "ID", "TYPE", "SIZE"],
      ["alpha", "photon", "photon-id", "ovf", "3.02 KiB"],
      ["alpha", "tools", uuid, "iso", "3 B"],
      ["beta", "Tools", uuid, "iso", "3 B"],
      ["beta", "photon", uuid, "iso", "5 B"],
    ]);
  });

  test.each([[["alpha"]], [["list", "alpha"]], [["ALPHA", "--long"]]])(
    "%j lists those of one",
    async (args) => {
      const { code, stdout } = await items(...args);
      expect(code).toBe(0);
      expect(cells(stdout).map(([library, name]) => [library, name])).toEqual([
        ["LIBRARY", "NAME"],
        ["alpha", "photon"],
        ["alpha", "tools"],
      ]);
    },
  );

  test("with --long and --json has the number of files, too", async () => {
    const { code, stdout } = await items("alpha", "--long", "--json");
    expect(code).toBe(0);
    const [photon, tools, ...others] = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(photon).toEqual({
      id: "photon-id",
      name: "photon",
      library: "alpha",
      library_id: expect.any(String),
      type: "ovf",
      size: expect.any(Number),
      content_version: expect.any(String),
      last_modified_time: expect.stringMatching(/Z$/),
      description: "A disk",
      file_count: 3,
    });
    expect(tools).toMatchObject({ name: "tools", file_count: 1 });
    expect(others).toEqual([]);
  });

  test("a library that is not there is 3", async () => {
    expect(await items("gamma")).toEqual({
      code: 3,
      stdout: "",
      stderr: "downlease: there is no library 'gamma'. See downlease items.\n",
    });
  });
});

describe("items show", () => {
  test.each([["photon-id"], ["alpha/photon"], ["alpha/PHOTON"]])(
    "finds %s and shows its files",
    async (name) => {
      const { code, stdout, stderr } = await items("show", name);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(/^item {9}photon\nid {11}photon-id\nlibrary {6}alpha \(/);
      expect(stdout).toMatch(/^FILE +SIZE {2}CHECKSUM$/m);
      expect(stdout).toMatch(/^disk\.vmdk +2\.93 KiB {2}SHA256 [0-9a-f]{64}$/m);
      expect(stdout).toMatch(/^photon\.ovf +11 B$/m);
    },
  );

  test("with --json", async () => {
    const { stdout } = await items("show", "photon-id", "--json");
    expect(JSON.parse(stdout)).toMatchObject({
      id: "photon-id",
      library: "alpha",
      files: [
        { name: "disk.vmdk", size: 3000, checksum: { algorithm: "SHA256", value: expect.any(String) } },
        { name: "photon.mf" },
        { name: "photon.ovf", size: 11 },
      ],
    });
  });

  test("an ambiguous name is refused with the ids of the items", async () => {
    const { code, stdout, stderr } = await items("show", "photon");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    const [first, ...candidates] = stderr.trimEnd().split("\n");
    expect(first).toBe("downlease: 'photon' is the name of 2 items. Use the id or LIBRARY/ITEM:");
    expect(candidates.sort()).toEqual([
      expect.stringMatching(/^ {2}[0-9a-f-]{36} {2}beta\/photon$/),
      "  photon-id  alpha/photon",
    ]);
  });

  test("of names that differ in case only, the exact one is used", async () => {
    expect((await items("show", "Tools")).stdout).toMatch(/^library +beta /m);
    expect((await items("show", "tools")).stdout).toMatch(/^library +alpha /m);
    expect(await items("show", "TOOLS")).toMatchObject({ code: 2 });
  });

  test.each(["", "/", "alpha/", "/photon", "alpha/nothing", "gamma/photon", "../alpha/photon", "a\nb"])(
    "%j is no item",
    async (name) => {
      const { code, stdout, stderr } = await items("show", name);
      expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
      expect(stderr).toMatch(/^downlease: there is no item '.*'\. See downlease items\.\n$/);
    },
  );
});

describe("names of a hostile server", () => {
  const name = "\x1b[2J\x1b]0;owned\x07\r\n\u009b31m\u202egnp.exe\u2028";
  const shown = "\\x1b[2J\\x1b]0;owned\\x07\\x0d\\x0a\\x9b31m\\u{202e}gnp.exe\\u{2028}";
  const dangerous = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

  test.each([
    ["items", "--long"],
    ["items", "show", "x"],
    ["sessions", "list"],
    ["sessions", "show", "x"],
  ])("never reach the terminal as they are: %s %s %s", async (...args) => {
    await using server = await startHostileServer(name);
    const { code, stdout, stderr } = await runCommand([...args.filter(Boolean), "--server", server.url]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(shown);
    expect(stdout.replaceAll("\n", "")).not.toMatch(dangerous);
    const json = await runCommand([...args.filter(Boolean), "--json", "--server", server.url]);
    expect(json.stdout.slice(0, -1)).not.toMatch(dangerous);
    expect(JSON.stringify(JSON.parse(json.stdout))).toContain(JSON.stringify(name).slice(1, -1));
  });

  test("nor do its error messages", async () => {
    await using server = await startHostileServer(name);
    const { code, stderr } = await runCommand(["sessions", "cancel", name, "--server", server.url]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^downlease: [^\n]+\n$/);
    expect(stderr.slice(0, -1)).not.toMatch(dangerous);
  });
});
