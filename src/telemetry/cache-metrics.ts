import { Counter, Gauge, type Registry } from "@prometheus-io/client";

const outcomes = ["hit", "shared", "miss", "bypass"] as const;
const failures = ["read", "write", "index", "damaged"] as const;

/** What the disk cache does. */
export class CacheMetrics {
  readonly #blocks: Counter<"outcome">;
  readonly #servedBytes: Counter;
  readonly #fetchedBytes: Counter;
  readonly #evictions: Counter;
  readonly #errors: Counter<"reason">;
  readonly #limit: Gauge;
  #used: () => number = () => 0;

  constructor(registers: Registry[]) {
    this.#blocks = new Counter({
      name: "downlease_cache_blocks_total",
      help:
        "Blocks of 2 MiB that readers came to by outcome: cached (hit), being fetched by another reader (shared), " +
        "fetched (miss), or fetched without being cached for lack of room (bypass).",
      labelNames: ["outcome"],
      registers,
    });
    this.#servedBytes = new Counter({
      name: "downlease_cache_served_bytes_total",
      help: "Bytes of files that were read from the cache.",
      registers,
    });
    this.#fetchedBytes = new Counter({
      name: "downlease_cache_fetched_bytes_total",
      help: "Bytes of files that were fetched from the storage because the cache did not have them.",
      registers,
    });
    this.#evictions = new Counter({
      name: "downlease_cache_evictions_total",
      help: "Blocks that were removed to make room.",
      registers,
    });
    this.#errors = new Counter({
      name: "downlease_cache_errors_total",
      help:
        "Failures of the cache by reason: of reads, writes and its index, and blocks without their checksum (damaged). " +
        "Downloads go on from the storage.",
      labelNames: ["reason"],
      registers,
    });
    new Gauge({
      name: "downlease_cache_used_bytes",
      help: "Size of the cache, room for blocks that are being fetched included; the same in every process that shares it.",
      aggregator: "max",
      registers,
      collect() {
        this.set(used());
      },
    });
    this.#limit = new Gauge({
      name: "downlease_cache_limit_bytes",
      help: "Maximum size of the cache; 0 without one.",
      aggregator: "max",
      registers,
    });
    const used = () => this.#used();
    for (const outcome of outcomes) this.#blocks.inc({ outcome }, 0);
    for (const reason of failures) this.#errors.inc({ reason }, 0);
  }

  readonly opened = ({ limit, used }: { readonly limit: number; used(): number }): void => {
    this.#limit.set(limit);
    this.#used = used;
  };

  readonly entered = (outcome: (typeof outcomes)[number]): void => this.#blocks.inc({ outcome });

  readonly served = (bytes: number): void => this.#servedBytes.inc(bytes);

  readonly fetched = (bytes: number): void => this.#fetchedBytes.inc(bytes);

  readonly evicted = (blocks: number): void => this.#evictions.inc(blocks);

  readonly failed = (reason: (typeof failures)[number]): void => this.#errors.inc({ reason });
}
