import {
  type BandwidthPortion,
  type BandwidthRequest,
  maxAheadMs,
  portionMs,
  sharerMs,
  slackMs,
} from "../../domain/bandwidth.ts";
import type { BandwidthStore } from "../../domain/bandwidth-store.ts";
import type { RedisConnection } from "./connection.ts";
import { bandwidthKey } from "./keys.ts";
import { script, unexpected } from "./scripts.ts";

const leaseScript = script<BandwidthRequest, BandwidthPortion>("leaseBandwidth-1", {
  key: () => bandwidthKey,
  args: ({ worker, downloads, bytesPerSecond }) => [
    ...[worker, downloads, bytesPerSecond],
    ...[portionMs, slackMs, maxAheadMs, sharerMs],
  ],
  output: ([tag, bytes, startsInMs, share]) => {
    if (tag !== "OK") throw unexpected(tag);
    return { bytes: Number(bytes), startsInMs: Number(startsInMs), share: Number(share) };
  },
});

/** One hash, which is gone soon after the last portion. */
export class RedisBandwidthStore implements BandwidthStore {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  lease(request: BandwidthRequest): Promise<BandwidthPortion> {
    return this.#redis.run(leaseScript, request);
  }
}
