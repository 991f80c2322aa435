import { describe, expect, it } from "vitest";
import {
  type BandwidthRequest,
  maxAheadMs,
  portionMs,
  sharerMs,
  slackMs,
} from "../../src/domain/bandwidth.ts";
import { Bandwidth } from "../../src/downloads/bandwidth.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

const megabyte = 1_000_000;

function request(members: Partial<BandwidthRequest> = {}): BandwidthRequest {
  return { worker: "one", downloads: 1, bytesPerSecond: megabyte, ...members };
}

/** Rounding, and the time that a call takes. */
const nearly = (value: number) => expect.closeTo(value, -2);

/** The contract of every `BandwidthStore`. The bandwidth is that of a whole backend, so each case has one of its own. */
export function bandwidthStoreContract(backend: TestBackend): void {
  const alone = { ...backend, open: backend.openAlone ?? backend.open };

  describe(`bandwidth store: ${backend.name}`, () => {
    it("gives out portions that follow each other, in every instance", async () => {
      await using stage = await setStage("bandwidth", alone);
      const { store, second } = stage;
      const all = (megabyte * portionMs) / 1000;
      // The slack: it starts at once, and its successor before it is over.
      expect(await store.lease(request())).toEqual({ bytes: all, startsInMs: 0, share: 1 });
      const next = await store.lease(request());
      const nextAt = performance.now() + next.startsInMs;
      expect(next).toMatchObject({ bytes: all, share: 1 });
      expect(next.startsInMs).toBeLessThanOrEqual(portionMs - slackMs);
      const half = await second.lease(request({ worker: "two" }));
      expect(half).toMatchObject({ bytes: all / 2, share: 0.5 });
      expect(half.startsInMs).toBeLessThanOrEqual(2 * portionMs - slackMs);
      expect(performance.now() + half.startsInMs).toBeGreaterThan(nextAt);
    });

    it.concurrent("divides the limit by the downloads of those that asked within a second", async () => {
      await using stage = await setStage("bandwidth", alone);
      const { store, second } = stage;
      await second.lease(request({ worker: "two", downloads: 3 }));
      expect((await store.lease(request())).share).toBeCloseTo(0.25, 5);
      expect((await second.lease(request({ worker: "two", downloads: 1 }))).share).toBeCloseTo(0.5, 5);
      await new Promise((resolve) => setTimeout(resolve, sharerMs + 50));
      // The other one has ended, or sends nothing.
      expect((await store.lease(request())).share).toBe(1);
    });

    it.concurrent("keeps the limit over processes, and treats all downloads alike", async () => {
      await using stage = await setStage("bandwidth", alone);
      const [one, two] = [stage.store, stage.second].map(
        (store) => new Bandwidth({ store, bytesPerSecond: () => 8 * megabyte }),
      ) as [Bandwidth, Bandwidth];
      // The first portions are of the processes that ask first.
      const from = performance.now() + 500;
      const until = from + 1_000;
      const sent = await Promise.all([one, two, two, two].map((each) => greedy(each, from, until)));
      const seconds = (performance.now() - from) / 1000;
      const total = sent.reduce((sum, bytes) => sum + bytes, 0);
      // Besides the slack, each may be a portion ahead.
      expect(total).toBeLessThan(8 * megabyte * (seconds + (slackMs + 2 * portionMs) / 1000));
      expect(total).toBeGreaterThan(4 * megabyte * seconds);
      // Equal parts of the processes would be 2 and 0.67.
      for (const bytes of sent) {
        expect(bytes / (total / 4)).toBeGreaterThan(0.7);
        expect(bytes / (total / 4)).toBeLessThan(1.6);
      }
    });

    it("gives out a bounded time ahead, whatever the limit was", async () => {
      await using stage = await setStage("bandwidth", alone);
      const { store } = stage;
      // A byte of this limit takes ten seconds.
      await store.lease(request({ bytesPerSecond: 0.1 }));
      const { bytes, startsInMs } = await store.lease(request());
      expect(bytes).toBe((megabyte * portionMs) / 1000);
      expect(startsInMs).toEqual(nearly(maxAheadMs));
      expect(startsInMs).toBeLessThanOrEqual(maxAheadMs);
    });
  });
}

/** A download that takes everything it gets. */
async function greedy(bandwidth: Bandwidth, from: number, until: number): Promise<number> {
  const turns = bandwidth.begin();
  let bytes = 0;
  while (performance.now() < until) {
    const turn = await turns.take(64 * 1024);
    if (performance.now() >= from) bytes += turn;
  }
  turns.end();
  return bytes;
}
