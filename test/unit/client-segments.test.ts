import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ByteRange, ByteRanges } from "../../src/client/byte-ranges.ts";
import { ConnectionPool } from "../../src/client/connection-pool.ts";
import { PaceCheck } from "../../src/client/connections.ts";
import { PartFile } from "../../src/client/part-file.ts";
import { type Segment, Segments } from "../../src/client/segments.ts";

const mebibyte = 1024 * 1024;
const rangesOf = (ranges: Iterable<ByteRange>) => [...ranges].map(({ start, end }) => [start, end]);

describe("a set of bytes", () => {
  test("is the same as one kept byte by byte, whatever is added and removed", () => {
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    const ranges = new ByteRanges();
    const bytes = new Set<number>();
    for (let step = 0; step < 500; step++) {
      const [start, length] = [random(50), random(12)];
      const isAdded = random(2) === 0;
      for (let at = start; at < start + length; at++) isAdded ? bytes.add(at) : bytes.delete(at);
      if (isAdded) ranges.add(start, start + length);
      else ranges.remove(start, start + length);
      const held = rangesOf(ranges).flatMap(([from, to]) =>
        Array.from({ length: to! - from! }, (_, at) => from! + at),
      );
      expect(held).toEqual([...bytes].sort((a, b) => a - b));
      expect(ranges.bytes).toBe(bytes.size);
      let prefix = 0;
      while (bytes.has(prefix)) prefix += 1;
      expect(ranges.prefix).toBe(prefix);
    }
  });

  test("has no two ranges that touch", () => {
    const ranges = new ByteRanges([
      { start: 6, end: 9 },
      { start: 0, end: 3 },
      { start: 3, end: 6 },
    ]);
    expect(rangesOf(ranges)).toEqual([[0, 9]]);
  });
});

describe("the segments of a file", () => {
  const at = ({ position, end }: Segment) => [position / mebibyte, end / mebibyte];
  const pace = { bytesPerMs: mebibyte / 1000, latencyMs: 100 };

  test("are the whole file for one connection, and shares of 16 to 64 MiB for several", () => {
    const segments = new Segments(1024 * mebibyte);
    const first = segments.takeFirst()!;
    expect(at(first)).toEqual([0, 1024]);
    first.position = 8 * mebibyte;
    segments.share(4);
    expect(at(first)).toEqual([8, 72]);
    expect(at(segments.takeShare(4, pace)!)).toEqual([72, 136]);
    const small = new Segments(40 * mebibyte);
    expect(at(small.takeShare(4, pace)!)).toEqual([0, 16]);
  });

  test("are given back as far as they are missing, and taken again from the front", () => {
    const segments = new Segments(100 * mebibyte);
    const [first, second] = [segments.takeShare(2, pace)!, segments.takeShare(2, pace)!];
    first.position += 10 * mebibyte;
    second.position = second.end;
    segments.giveBack(first);
    segments.giveBack(second);
    segments.giveBack(second);
    expect(segments.rest).toBe(40 * mebibyte);
    expect(at(segments.takeFirst()!)).toEqual([10, 50]);
    expect(segments.takeFirst()).toBeUndefined();
  });

  test("are split by the rates of their connections when nothing else is missing", () => {
    let now = 0;
    const segments = new Segments(32 * mebibyte, () => now);
    const [slow, fast] = [segments.takeShare(2, pace)!, segments.takeShare(2, pace)!];
    now = 2_000;
    slow.position += mebibyte;
    fast.position = fast.end - mebibyte;
    const taken = segments.takeShare(3, pace)!;
    expect([at(slow), at(fast), at(taken)]).toEqual([
      [1, 6],
      [31, 32],
      [6, 16],
    ]);
    expect(segments.rest).toBe(16 * mebibyte);
  });

  test("are not split for a rest that takes little longer than a request, or is small", () => {
    let now = 0;
    const segments = new Segments(16 * mebibyte, () => now);
    const only = segments.takeFirst()!;
    now = 15_000;
    only.position += 15 * mebibyte;
    expect(segments.takeShare(2, { ...pace, latencyMs: 250 })).toBeUndefined();
    const taken = segments.takeShare(2, { ...pace, latencyMs: 249 })!;
    expect(taken.rest).toBe(mebibyte / 2);
    now = 1e6;
    only.position = only.end - mebibyte / 4 + 1;
    taken.position = taken.end - mebibyte / 4 + 1;
    expect(segments.takeShare(2, pace)).toBeUndefined();
  });

  test("go back to the request that they were taken from, if no other gets them", () => {
    const segments = new Segments(100 * mebibyte);
    const first = segments.takeFirst()!;
    segments.share(4);
    const [second, third] = [segments.takeShare(4, pace)!, segments.takeShare(4, pace)!];
    segments.giveBack(third);
    segments.undoShare();
    expect([at(first), at(second)]).toEqual([
      [0, 25],
      [25, 50],
    ]);
    segments.giveBack(second);
    segments.undoShare();
    expect(at(first)).toEqual([0, 100]);
    expect(segments.takeFirst()).toBeUndefined();
  });

  test("leave out what is there", () => {
    const segments = new Segments(10);
    segments.reset([
      { start: 2, end: 4 },
      { start: 9, end: 10 },
    ]);
    expect([segments.takeFirst(), segments.takeFirst(), segments.takeFirst()]).toMatchObject([
      { position: 0, end: 2 },
      { position: 4, end: 9 },
      undefined,
    ]);
  });
});

describe("several connections", () => {
  test.each([
    ["100 ms away, in slow start", 100, 150_000, true],
    ["30 ms away, over a line of 1 Gbit/s that is full", 30, 3_600_000, false],
    ["near, though the first answer took long", 25, 5_000_000, false],
  ])("pay for a server that is %s", (_, latencyMs, bytes, pays) => {
    let now = 1_000;
    const pace = new PaceCheck(latencyMs, 50, () => now);
    now += latencyMs - 1;
    expect(pace.pays(50 + bytes)).toBeUndefined();
    now += 1;
    expect(pace.pays(50 + bytes)).toBe(pays);
  });

  test("are those that the files do not need for themselves", () => {
    const pool = new ConnectionPool({ parallel: 2, connections: 3 });
    pool.begin(3);
    expect([pool.max, pool.enterFurther(), pool.enterFurther()]).toEqual([3, true, false]);
    pool.endFile();
    expect(pool.enterFurther()).toBe(false);
    pool.endFile();
    expect([pool.enterFurther(), pool.enterFurther()]).toEqual([true, false]);
    pool.leaveFurther();
    expect(pool.enterFurther()).toBe(true);
  });
});

describe("a partial file whose bytes arrive in any order", () => {
  const bytes = randomBytes(5 * mebibyte);
  const expected = new Map([["sha256", createHash("sha256").update(bytes).digest("hex")]] as const);
  const signal = new AbortController().signal;
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "downlease-"));
    path = join(directory, "a.part");
  });
  afterEach(() => rm(directory, { recursive: true }));

  const add = (part: PartFile, start: number, end: number) =>
    part.write(bytes.subarray(start * mebibyte, end * mebibyte), start * mebibyte);

  test("is hashed in their order", async () => {
    await using part = await PartFile.open(path, "a", expected);
    for (const [start, end] of [
      [4, 5],
      [1, 2],
      [0, 1],
      [2, 4],
    ] as const)
      await add(part, start, end);
    expect(part.length).toBe(bytes.length);
    expect(await part.mismatch()).toBeUndefined();
    expect(part.hasGaps).toBe(false);
    expect(bytes.equals(await readFile(path))).toBe(true);
  });

  test("goes on from the ranges that count, and from no other byte", async () => {
    {
      await using part = await PartFile.open(path, "a", expected);
      await add(part, 0, 1);
      await add(part, 3, 5);
      await part.flush();
      expect([part.hasGaps, rangesOf(part.stored)]).toEqual([
        true,
        [
          [0, mebibyte],
          [3 * mebibyte, 5 * mebibyte],
        ],
      ]);
    }
    const ranges = [
      { start: 0, end: mebibyte },
      { start: 4 * mebibyte, end: 6 * mebibyte },
    ];
    await using part = await PartFile.open(path, "a", expected);
    await part.adopt(bytes.length, ranges, signal, () => {});
    expect(part.length).toBe(2 * mebibyte);
    await add(part, 1, 4);
    expect(await part.mismatch()).toBeUndefined();
  });

  test("loses what is behind the only range", async () => {
    await writeFile(path, bytes);
    await using part = await PartFile.open(path, "a", expected);
    await part.adopt(bytes.length, [{ start: 0, end: 2 }], signal, () => {});
    expect(part.length).toBe(2);
    expect((await readFile(path)).length).toBe(2);
  });

  test("shows a wrong byte behind a gap", async () => {
    await using part = await PartFile.open(path, "a", expected);
    await part.write(Buffer.alloc(mebibyte), 4 * mebibyte);
    await add(part, 0, 4);
    expect(await part.mismatch()).toBe("sha256");
    await part.reset();
    await add(part, 0, 5);
    expect(await part.mismatch()).toBeUndefined();
  });
});
