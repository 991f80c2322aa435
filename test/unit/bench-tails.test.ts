import { expect, test } from "vitest";
import { causesOf, type ObservedProcess } from "../../bench/tails/causes.ts";
import { IntervalList, lengthOf, type Span } from "../../bench/tails/intervals.ts";

function listOf(...spans: readonly Span[]): IntervalList {
  const list = new IntervalList();
  for (const [begin, end] of spans) list.add(begin, end);
  return list;
}

test.each<[string, Span[], Span[], Span[]]>([
  [
    "nothing that is elsewhere",
    [[0, 10]],
    [
      [10, 20],
      [30, 40],
    ],
    [[0, 10]],
  ],
  ["what it covers", [[5, 8]], [[0, 10]], []],
  [
    "a hole",
    [[0, 10]],
    [
      [3, 4],
      [6, 7],
    ],
    [
      [0, 3],
      [4, 6],
      [7, 10],
    ],
  ],
  [
    "both ends",
    [
      [5, 15],
      [25, 35],
    ],
    [
      [0, 6],
      [14, 26],
      [34, 50],
    ],
    [
      [6, 14],
      [26, 34],
    ],
  ],
])("intervals take out of spans %s", (_, spans, taken, rest) => {
  expect(listOf(...taken).remove(spans)).toEqual(rest);
  expect(lengthOf(rest)).toBe(rest.reduce((sum, [begin, end]) => sum + end - begin, 0));
});

test("each moment of a slow call is charged to one cause", () => {
  const idle: ObservedProcess = {
    thread: { running: listOf(), waiting: listOf() },
    collections: listOf(),
  };
  const calls = [
    ...Array.from({ length: 99 }, (_, index) => ({ due: 1000 + index, ended: 1001 + index })),
    { due: 100, ended: 120 },
  ];
  const causes = causesOf([
    {
      calls,
      server: {
        // A collection runs, and so does the thread; only the collection counts.
        thread: { running: listOf([100, 110], [1000, 1100]), waiting: listOf([110, 113]) },
        collections: listOf([102, 106]),
      },
      redis: idle,
      generator: { ...idle, thread: { running: listOf([105, 115]), waiting: listOf() } },
    },
  ]);
  const slow = Object.fromEntries(causes.map(({ cause, slowMs }) => [cause, slowMs]));
  expect(slow).toMatchObject({
    "server collects garbage": 4,
    "server waits for a core": 3,
    "server runs": 6,
    "generator runs": 2,
    "nobody runs: timer of the generator, wake-ups": 5,
  });
  expect(Object.values(slow).reduce((sum, ms) => sum + ms, 0)).toBe(20);
  expect(causes.find(({ cause }) => cause === "server runs")?.medianMs).toBe(1);
});
