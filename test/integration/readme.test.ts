import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSection, runSteps, type Step, stepsOf } from "../support/pages.ts";
import { freePort } from "../support/ports.ts";
import { type Service, startService } from "../support/service.ts";
import { tempDir } from "../support/temp-dir.ts";

/** Into which the README's commands download. */
const downloads = join(import.meta.dirname, "../../downloads");

let service: Service;
let withShortLease: Service;
beforeAll(async () => {
  [service, withShortLease] = await Promise.all([startService([]), startService(["--lease-seconds", "3"])]);
});
afterAll(() =>
  Promise.all([service?.stop(), withShortLease?.stop(), rm(downloads, { recursive: true, force: true })]),
);

/** The one that starts services of its own, and kills them. */
const isStory = ({ commands }: Step) => commands.includes("kill -9");

test.each([
  ["README.md", 8],
  ["docs/rpc.md", 2],
  ["docs/library.md", 6],
  ["docs/json-rpc.md", 3],
])("every command of %s does what is printed there", { timeout: 60_000 }, async (page, least) => {
  const steps = stepsOf(readSection(page)).filter((step) => !isStory(step));
  expect(steps.length).toBeGreaterThanOrEqual(least);
  // The README says so where it waits for a lease to end.
  await runSteps(steps, ({ commands }) => (commands.includes("sleep") ? withShortLease : service).port);
});

test("the server of the README's download is killed and started again", { timeout: 120_000 }, async () => {
  await using directory = await tempDir();
  const port = await freePort();
  const [story] = stepsOf(readSection("README.md")).filter(isStory);
  const smaller = story!.commands
    .replaceAll("/tmp/lab", join(directory.path, "lab"))
    .replace("2147483648", "134217728")
    .replace("500000k", "1000k");
  // However it ends, nothing of it goes on.
  const commands = `trap 'kill -9 $(jobs -p) || true' EXIT\n${smaller}`;
  await runSteps([{ commands, answer: "" }], () => port, {
    ...process.env,
    DOWNLEASE_PORT: String(port),
    DOWNLEASE_SQLITE_PATH: join(directory.path, "sessions.db"),
  });
  expect(smaller).not.toBe(story!.commands);
});
