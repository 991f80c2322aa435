import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { compileCacheDirectory } from "../../src/config/compile-cache.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let dir: TempDir;
beforeEach(async () => {
  dir = await tempDir();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await dir.remove();
});

test("is the user's own, made where it is missing", () => {
  vi.stubEnv("HOME", dir.path);
  const directory = join(dir.path, ".cache", "downlease");
  expect(compileCacheDirectory({})).toBe(directory);
  expect(compileCacheDirectory({})).toBe(directory);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
});

test.each(["NODE_DISABLE_COMPILE_CACHE", "NODE_COMPILE_CACHE"])("is left to Node with %s", (name) => {
  vi.stubEnv("HOME", dir.path);
  expect(compileCacheDirectory({ [name]: "1" })).toBeUndefined();
});

test("is none without a home where it could be", () => {
  for (const home of ["relative", join(dir.path, "missing"), "/dev/null", "/proc"]) {
    vi.stubEnv("HOME", home);
    expect(compileCacheDirectory({}), home).toBeUndefined();
  }
  mkdirSync(join(dir.path, "home"));
  writeFileSync(join(dir.path, "home", ".cache"), "a file");
  vi.stubEnv("HOME", join(dir.path, "home"));
  expect(compileCacheDirectory({})).toBeUndefined();
});
