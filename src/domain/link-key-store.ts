/** A key that links are signed with. */
export interface LinkKey {
  /** Stands in each link. Printable ASCII without `:`, `,` and white space, 1 to 64 characters. */
  readonly id: string;
  /** At least 32 bytes. */
  readonly secret: Uint8Array;
}

/** Lets replicas without configured keys agree on one. */
export interface LinkKeyStore {
  /**
   * The key that the store keeps for all processes that use it; when it has none, it keeps the candidate. A store that
   * can't be reached rejects with a ServiceError `downlease.store.unavailable` within a second.
   */
  linkKey(candidate: LinkKey): Promise<LinkKey>;
}
