import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Repetitions } from "../../src/telemetry/repetitions.ts";

let lines: string[];
let repetitions: Repetitions<number>;

beforeEach(() => {
  vi.useFakeTimers();
  lines = [];
  repetitions = new Repetitions({
    repeated: (last, count) => void lines.push(`${count} more, the last is ${last}`),
    over: (last, count) => void lines.push(`over after ${count}, the last is ${last}`),
  });
});

afterEach(() => {
  vi.useRealTimers();
});

function occurs(kind: string, event: number): void {
  if (repetitions.isFirst(kind, event)) lines.push(`first ${event}`);
}

test("an event that comes alone has a line, and nothing follows", () => {
  occurs("a", 1);
  vi.advanceTimersByTime(10_000);
  occurs("a", 2);
  vi.advanceTimersByTime(10_000);
  expect(lines).toEqual(["first 1", "first 2"]);
  expect(vi.getTimerCount()).toBe(0);
});

test("events in masses have a line when they begin, one a second and one when they end", () => {
  for (let event = 0; event < 5 * 664; event++) {
    occurs("a", event);
    vi.advanceTimersByTime(1000 / 664);
  }
  vi.advanceTimersByTime(10_000);
  expect(lines[0]).toBe("first 0");
  expect(lines.slice(1, -1)).toHaveLength(5);
  for (const line of lines.slice(1, -1)) expect(line).toMatch(/^66\d more, the last is \d+$/);
  expect(lines.at(-1)).toBe("over after 3320, the last is 3319");
  expect(vi.getTimerCount()).toBe(0);
});

test("kinds are counted apart", () => {
  for (const event of [1, 2, 3]) occurs("a", event);
  occurs("b", 4);
  vi.advanceTimersByTime(1000);
  expect(lines).toEqual(["first 1", "first 4", "2 more, the last is 3"]);
});

test("kinds beyond the bound share a count", () => {
  for (let kind = 0; kind < 1000; kind++) occurs(`kind ${kind}`, kind);
  expect(lines).toHaveLength(257);
  expect(vi.getTimerCount()).toBe(257);
  occurs("kind 0", 1000);
  vi.advanceTimersByTime(1000);
  expect(lines.slice(257)).toEqual(["1 more, the last is 1000", "743 more, the last is 999"]);
});
