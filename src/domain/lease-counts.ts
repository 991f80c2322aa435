/** Leases that all processes together have granted and ended, since the store has counted. */
export interface LeaseTotals {
  readonly granted: number;
  readonly ended: number;
}

/**
 * What has happened to leases through this process since it started. The stores count where they learn the outcome, so
 * that every way to it is counted once. A number only grows.
 */
export class LeaseCounts {
  /** Sessions that were created. */
  granted = 0;
  /**
   * Leases that were renewed because their session was created again, or because bytes of its files were sent.
   * Keep-alives and calls for files are counted as calls, so that counting costs a keep-alive nothing.
   */
  renewed = 0;
  /** Sessions that were ACTIVE until they were canceled, failed or deleted. */
  canceled = 0;
  failed = 0;
  deleted = 0;

  get ended(): number {
    return this.canceled + this.failed + this.deleted;
  }
}
