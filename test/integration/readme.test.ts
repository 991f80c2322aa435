import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Service, startService } from "../support/service.ts";

const root = resolve(import.meta.dirname, "../..");
/** The blocks of commands of a page, each with the answer that is printed below it; set-up is what CI itself runs. */
function stepsOf(page: string) {
  return [
    ...readFileSync(join(root, page), "utf8").matchAll(
      /```sh\n([\s\S]*?)```\n(?:\n```(?:json|xml)\n([\s\S]*?)```)?/g,
    ),
  ]
    .map(([, commands = "", answer = ""]) => ({ commands, answer }))
    .filter(({ commands }) => !commands.startsWith("npm ci"));
}

let service: Service;
let withShortLease: Service;
beforeAll(async () => {
  [service, withShortLease] = await Promise.all([startService([]), startService(["--lease-seconds", "3"])]);
});
afterAll(() => Promise.all([service.stop(), withShortLease.stop()]));

test.each([
  ["README.md", 6],
  ["docs/rpc.md", 2],
  ["docs/library.md", 6],
])("every command of %s does what is printed there", { timeout: 60_000 }, async (page, least) => {
  const steps = stepsOf(page);
  expect(steps.length).toBeGreaterThanOrEqual(least);
  let before = "";
  for (const { commands, answer } of steps) {
    // The README says so where it waits for a lease to end.
    const { port } = commands.includes("sleep") ? withShortLease : service;
    // Later blocks use the variables of earlier ones, whose output is not of interest again.
    const script = `set -euo pipefail\n{ :\n${before}\n} >/dev/null\n${commands}`.replaceAll(
      "127.0.0.1:8080",
      `127.0.0.1:${port}`,
    );
    const { stdout } = await promisify(execFile)("bash", ["-c", script], {
      cwd: root,
      env: { ...process.env, PATH: [join(root, "node_modules/.bin"), process.env.PATH].join(delimiter) },
    });
    if (answer !== "") expect(withoutIdentity(stdout)).toBe(withoutIdentity(answer));
    if (!commands.includes("sleep")) before += commands;
  }
});

/** What differs from one run to the next, and white space: the README's answers are of another day. */
function withoutIdentity(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<uuid>")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(/version":\s*"[0-9a-f]{16}"/g, 'version":"<version>"')
    .replace(/\s+/g, "");
}
