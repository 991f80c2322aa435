import type { BandwidthPortion, BandwidthRequest } from "./bandwidth.ts";

/**
 * Gives out a limited bandwidth to the processes that use the same store, portion by portion, by the rules of
 * `bandwidth.ts`. A process that dies loses the portion that it has.
 */
export interface BandwidthStore {
  /**
   * The next portion for a process. Ask for another one when it starts. A store that can't be reached rejects with a
   * ServiceError `downlease.store.unavailable` within a second.
   */
  lease(request: BandwidthRequest): Promise<BandwidthPortion>;
}
