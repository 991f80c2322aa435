import { hostname } from "node:os";
import type { Logger } from "pino";
import type { Program } from "../cluster/worker.ts";
import { program as downlease } from "../config/program.ts";
import type { Backend } from "../domain/backend.ts";
import type { OverviewPoint } from "../domain/overview.ts";
import type { Replica } from "../domain/replica-store.ts";
import { CensusTaker } from "../telemetry/census-taker.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { OverviewHistory } from "../telemetry/overview-history.ts";
import { ReplicaReporter } from "../telemetry/replica-reporter.ts";

export interface ReplicaParts {
  readonly backend: Pick<Backend, "replicas" | "sessionRecords">;
  readonly metrics: Metrics;
  readonly isReady: () => boolean;
  readonly log: Logger;
  readonly program: Program | undefined;
}

export interface Replicas {
  /** This process as the others see it; undefined before the start. */
  readonly own: Replica | undefined;
  /** The state of all processes in the last minutes, oldest first. */
  readonly history: readonly OverviewPoint[];
  /** @param address where it serves */
  start(address: string): void;
}

/** Reports this process to the others and counts sessions, from `start` until the stack is disposed of. */
export function openReplicas(
  { backend, metrics, isReady, log, program }: ReplicaParts,
  opened: AsyncDisposableStack,
): Replicas {
  let reporter: ReplicaReporter | undefined;
  const history = opened.adopt(new OverviewHistory({ store: backend.replicas }), (each) => each.close());
  return {
    get own() {
      return reporter?.replica;
    },
    get history() {
      return history.points;
    },
    start(address): void {
      const { replicas, sessionRecords: sessions } = backend;
      const place = `${hostname()}:${new URL(address).port}`;
      const name = program === undefined ? place : `${place}/${program.worker}`;
      reporter = new ReplicaReporter({
        store: replicas,
        identity: { name, version: downlease.version, address },
        activity: () => metrics.activity,
        isReady,
      });
      const taker = new CensusTaker({ sessions, replicas, reporter, metrics: metrics.leases, log });
      opened.defer(() => reporter?.close());
      opened.defer(() => taker.close());
      void reporter.start();
    },
  };
}
