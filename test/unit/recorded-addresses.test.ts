import { expect, test } from "vitest";
import { RecordedAddresses } from "../../src/calls/recorded-addresses.ts";

test("knows the last address of each session, and of no other one", () => {
  const recorded = new RecordedAddresses();
  expect(recorded.has("a", "192.0.2.1")).toBe(false);
  recorded.set("a", "192.0.2.1");
  expect(recorded.has("a", "192.0.2.1")).toBe(true);
  expect(recorded.has("a", "192.0.2.2")).toBe(false);
  expect(recorded.has("b", "192.0.2.1")).toBe(false);
  recorded.set("a", "192.0.2.2");
  expect(recorded.has("a", "192.0.2.1")).toBe(false);
  expect(recorded.has("a", "192.0.2.2")).toBe(true);
  recorded.delete("a");
  expect(recorded.has("a", "192.0.2.2")).toBe(false);
});

test("forgets few of many sessions, and takes none for another", () => {
  const recorded = new RecordedAddresses();
  const count = 100_000;
  for (let n = 0; n < count; n++) recorded.set(`session-${n}`, "192.0.2.1");
  let [forgotten, wrong] = [0, 0];
  for (let n = 0; n < count; n++) if (!recorded.has(`session-${n}`, "192.0.2.1")) forgotten++;
  for (let n = count; n < 2 * count; n++) if (recorded.has(`session-${n}`, "192.0.2.1")) wrong++;
  expect(forgotten).toBeLessThan(count / 1_000);
  // Expected is one in some ten thousand such runs.
  expect(wrong).toBeLessThan(10);
});
