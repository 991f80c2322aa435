import { portionMs } from "../domain/bandwidth.ts";
import type { BandwidthStore } from "../domain/bandwidth-store.ts";

export interface BandwidthOptions {
  readonly store: BandwidthStore;
  /** Limit of all downloads of all processes together, asked for at each use; 0: unlimited. */
  readonly bytesPerSecond: () => number;
}

/** Bytes that a download gets at a time at least: each turn is a write of its own. */
const minTurnBytes = 4096;

/** How soon downloads notice that a limit is gone or was raised, in milliseconds. */
const maxPauseMs = 500;

/**
 * This process's part of the bandwidth that all downloads share. It comes in portions of a fifth of a second from the
 * store, and only while downloads wait for it. The downloads take turns of equal size, in the order in which they are
 * ready for more, so that slow ones hold up nobody and what they leave is for the others.
 *
 * While the store does not answer, the process goes on with the part of the limit that it had last: a store must not
 * stop downloads. Without a limit nothing is asked, and no timer runs.
 */
export class Bandwidth {
  readonly #options: BandwidthOptions;
  readonly #worker = crypto.randomUUID();
  readonly #waiting = new Set<BandwidthTurns>();
  #downloads = 0;
  /** Bytes that may be sent now. */
  #bytes = 0;
  /** Limit that the bytes are of. */
  #rate = 0;
  /** Part of the limit that this process had last. */
  #share = 1;
  #isRunning = false;

  constructor(options: BandwidthOptions) {
    this.#options = options;
  }

  /** Begins a download, which takes its turns until it ends. */
  begin(): BandwidthTurns {
    this.#downloads++;
    return new BandwidthTurns(this);
  }

  /** For a turn. */
  take(turns: BandwidthTurns, wanted: number): number | Promise<number> {
    const rate = this.#options.bytesPerSecond();
    if (rate === 0) return wanted;
    this.#setRate(rate);
    const { promise, resolve } = Promise.withResolvers<number>();
    turns.wanted = wanted;
    turns.resolve = resolve;
    this.#waiting.add(turns);
    if (this.#isRunning) this.#serve();
    else void this.#run();
    return promise;
  }

  /** For a download that ends. */
  leave(turns: BandwidthTurns): void {
    this.#downloads--;
    this.#waiting.delete(turns);
  }

  /** Gets portions for as long as downloads wait. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    this.#serve();
    while (this.#waiting.size > 0) {
      const rate = this.#rate;
      const isCurrent = () => this.#options.bytesPerSecond() === rate;
      const { bytes, startsInMs } = await this.#portion();
      for (
        let leftMs = startsInMs;
        leftMs > 0 && isCurrent() && this.#waiting.size > 0;
        leftMs -= maxPauseMs
      ) {
        await pause(Math.min(leftMs, maxPauseMs));
      }
      if (isCurrent()) this.#bytes += bytes;
      else this.#setRate(this.#options.bytesPerSecond());
      this.#serve();
    }
    this.#isRunning = false;
  }

  async #portion(): Promise<{ readonly bytes: number; readonly startsInMs: number }> {
    const { store } = this.#options;
    const askedAt = performance.now();
    try {
      const request = { worker: this.#worker, downloads: this.#downloads, bytesPerSecond: this.#rate };
      const portion = await store.lease(request);
      this.#share = portion.share;
      return portion;
    } catch {
      // For the time that the question has taken, and one portion ahead.
      const waitedMs = performance.now() - askedAt;
      const bytes = Math.ceil((this.#rate * this.#share * (waitedMs + portionMs)) / 1000);
      return { bytes, startsInMs: portionMs };
    }
  }

  /** Bytes of another limit are worth nothing. */
  #setRate(rate: number): void {
    if (rate === this.#rate) return;
    this.#rate = rate;
    this.#bytes = 0;
  }

  #serve(): void {
    const turnBytes = Math.max(
      minTurnBytes,
      Math.floor((this.#rate * this.#share * portionMs) / 1000 / Math.max(1, this.#downloads)),
    );
    for (const turns of this.#waiting) {
      const bytes = this.#rate === 0 ? turns.wanted : Math.min(turns.wanted, turnBytes);
      if (this.#rate > 0) {
        if (bytes > this.#bytes) return;
        this.#bytes -= bytes;
      }
      this.#waiting.delete(turns);
      turns.resolve(bytes);
    }
  }
}

/** The turns of one download. */
export class BandwidthTurns {
  readonly #bandwidth: Bandwidth;
  /** For the bandwidth: what the download waits for. */
  wanted = 0;
  resolve: (bytes: number) => void = () => {};

  constructor(bandwidth: Bandwidth) {
    this.#bandwidth = bandwidth;
  }

  /** How many bytes may be sent now: at least one, at most as many as wanted. Without a limit that is no promise. */
  take(wanted: number): number | Promise<number> {
    return this.#bandwidth.take(this, wanted);
  }

  /** A promise of it that is still open stays open. */
  end(): void {
    this.#bandwidth.leave(this);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
