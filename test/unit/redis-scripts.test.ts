import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { readScript } from "../../src/stores/redis/scripts.ts";
import { tempDir } from "../support/temp-dir.ts";

describe("a script", () => {
  async function folderOf(files: Readonly<Record<string, string>>) {
    const dir = await tempDir();
    mkdirSync(join(dir.path, "include"));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir.path, `${name}.lua`), text);
    return { url: pathToFileURL(`${dir.path}/`), [Symbol.asyncDispose]: () => dir.remove() };
  }

  test("has the text of its includes in place of the lines that name them, and the SHA-1 of the whole", async () => {
    await using folder = await folderOf({
      "act-1": "local a = 1\n-- @include check\n  -- @include indented\nreturn a\n-- @include check\n",
      "include/check": "-- Needs: a\nif not a then\n  return '$&'\nend\n",
    });
    const check = "-- Needs: a\nif not a then\n  return '$&'\nend";
    const text = `local a = 1\n${check}\n  -- @include indented\nreturn a\n${check}\n`;
    const sha1 = createHash("sha1").update(text).digest("hex");
    expect(readScript("act-1", folder.url)).toEqual({ text, sha1 });
  });

  test("has another SHA-1 when an include changes", async () => {
    await using folder = await folderOf({ "act-1": "-- @include check\n", "include/check": "return 1\n" });
    await using changed = await folderOf({ "act-1": "-- @include check\n", "include/check": "return 2\n" });
    expect(readScript("act-1", folder.url).sha1).not.toBe(readScript("act-1", changed.url).sha1);
  });

  test("that includes a file that does not exist can't be read", async () => {
    await using folder = await folderOf({ "act-1": "-- @include chekc\n", "include/check": "return 1\n" });
    expect(() => readScript("act-1", folder.url)).toThrow(/include\/chekc\.lua/);
  });
});

describe("the scripts of the store", () => {
  const lua = join(import.meta.dirname, "../../src/stores/redis/lua");
  const read = (name: string) => readFileSync(join(lua, name), "utf8");
  const namesIn = (folder: string) => readdirSync(folder).filter((name) => name.endsWith(".lua"));

  test.each(namesIn(lua))("%s states its contract", (name) => {
    const header = /^--\[\[\n([\s\S]*?)\n\]\]\n/.exec(read(name))?.[1] ?? "";
    const keys = Number(/-(\d+)\.lua$/.exec(name)?.[1]);
    expect(header.match(/^ {2}KEYS\[\d+\] {2}\S/gm)).toHaveLength(keys);
    expect(header).toMatch(/\n {2}Output\n {4}\S/);
    // Each argument that it reads, itself or by what it includes, has a line.
    const { text } = readScript(name.replace(/\.lua$/, ""));
    const described = new Set(header.match(/(?<=^ {2}ARGV\[)\d+/gm));
    const body = text.slice(header.length).replace(/--.*$/gm, "");
    expect([...body.matchAll(/ARGV\[(\d+)\]/g)].map(([, index]) => index)).toSatisfy((indexes: string[]) =>
      indexes.every((index) => described.has(index)),
    );
    // Each tag that it answers with has a line.
    for (const [, tag] of body.matchAll(/return \{ ("[A-Z_]+")/g)) expect(header).toContain(tag);
  });

  test("include every file that is there to be included", () => {
    const included = namesIn(lua).flatMap((name) =>
      [...read(name).matchAll(/^-- @include (\S+)$/gm)].map(([, each]) => `${each}.lua`),
    );
    expect(new Set(included)).toEqual(new Set(namesIn(join(lua, "include"))));
  });
});
