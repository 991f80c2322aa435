import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RateLimit } from "../../src/client/rate-limit.ts";
import { byteCount } from "../../src/config/numbers.ts";

describe("a rate limit", () => {
  test("lets no more through than its rate and a tenth of a second, however many wait", () => {
    const chunks = fc.array(fc.integer({ min: 1, max: 65_536 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(
        fc.integer({ min: 1024, max: 10_000_000 }),
        fc.integer({ min: 1, max: 8 }),
        chunks,
        (rate, readers, sizes) => {
          let now = 1000;
          const limit = new RateLimit(rate, () => now);
          // Each reader takes the next chunk when its wait is over; the first wait that ends is next.
          const readyAt = Array.from({ length: readers }, () => now);
          let total = 0;
          for (const size of sizes) {
            const next = readyAt.indexOf(Math.min(...readyAt));
            now = Math.max(now, readyAt[next]!);
            const elapsed = now - 1000;
            // Each reader may have one chunk in advance: it has arrived when it is counted.
            expect(total).toBeLessThanOrEqual((rate * (elapsed + 100)) / 1000 + readers * 65_536 + 1);
            total += size;
            readyAt[next] = now + limit.take(size);
          }
        },
      ),
    );
  });

  test("makes readers wait for exactly as long as the bytes take, and saves no time up", () => {
    let now = 0;
    const limit = new RateLimit(1000, () => now);
    expect(limit.take(100)).toBe(0);
    expect(limit.take(500)).toBe(600);
    now = 10_000;
    expect(limit.take(1000)).toBe(1000);
    expect(limit.take(1000)).toBe(2000);
  });
});

test.each([
  ["500000", 500_000],
  ["500 KiB", 512_000],
  ["1.5MiB", 1_572_864],
  ["1.5m", 1_572_864],
  ["2kB", 2000],
  ["3 GB", 3e9],
  ["10B", 10],
  ["1e6", undefined],
  ["", undefined],
  ["-1", undefined],
  ["1.5.5M", undefined],
  ["5 MiBs", undefined],
  ["1PB", undefined],
  ["0", undefined],
])("a size of %j is %s bytes", (text, count) => {
  expect(byteCount(text, 1)).toBe(count);
});
