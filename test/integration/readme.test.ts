import { afterAll, beforeAll, expect, test } from "vitest";
import { readSection, runSteps, stepsOf } from "../support/pages.ts";
import { type Service, startService } from "../support/service.ts";

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
  ["docs/json-rpc.md", 3],
])("every command of %s does what is printed there", { timeout: 60_000 }, async (page, least) => {
  const steps = stepsOf(readSection(page));
  expect(steps.length).toBeGreaterThanOrEqual(least);
  // The README says so where it waits for a lease to end.
  await runSteps(steps, ({ commands }) => (commands.includes("sleep") ? withShortLease : service).port);
});
