import type { LeaseCounts } from "../../domain/lease-counts.ts";
import type { Caller, LeaseTerms, Refusal, Renewal } from "../../domain/session.ts";
import type { EndpointType, SessionFileStore, SessionFiles } from "../../domain/session-file-store.ts";
import type { RedisConnection } from "./connection.ts";
import { readFilesScript, recordSentScript, requestFileScript } from "./session-file-scripts.ts";

/** The files of a session are fields of the session's own hash, so that they live and end with it. */
export class RedisSessionFileStore implements SessionFileStore {
  readonly #redis: RedisConnection;
  readonly #terms: LeaseTerms;
  readonly #counts: LeaseCounts;

  constructor(redis: RedisConnection, terms: LeaseTerms, counts: LeaseCounts) {
    this.#redis = redis;
    this.#terms = terms;
    this.#counts = counts;
  }

  async files(id: string, caller: Caller): Promise<SessionFiles | undefined> {
    const result = await this.#redis.run(readFilesScript, { id, caller });
    return result && { session: { id, ...result.session }, files: result.files };
  }

  request(
    id: string,
    caller: Caller,
    fileName: string,
    endpointType: EndpointType,
  ): Promise<Renewal | Refusal> {
    const { leaseMs } = this.#terms;
    return this.#redis.run(requestFileScript, { id, caller, leaseMs, fileName, endpointType });
  }

  async recordSent(id: string, sent: ReadonlyMap<string, number>): Promise<Renewal | Refusal> {
    const result = await this.#redis.run(recordSentScript, { id, leaseMs: this.#terms.leaseMs, sent });
    if (result.outcome === "renewed") this.#counts.renewed++;
    return result;
  }
}
