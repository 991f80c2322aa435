import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type HealthCheckRequest,
  HealthCheckResponseSchema,
  type Health as HealthService,
  HealthCheckResponse_ServingStatus as WireStatus,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import type { Health } from "../../telemetry/health.ts";
import type { ServerStream } from "./fast-lane/lane.ts";

/**
 * `grpc.health.v1` over the health state.
 *
 * @param streamsMustEnd ends watches, after they have sent NOT_SERVING
 */
export function healthService(
  health: Health,
  streamsMustEnd: AbortSignal,
): ServiceImpl<typeof HealthService> {
  const watchStatus = statusWatcher(health, streamsMustEnd);
  return {
    check({ service }) {
      const status = wireStatusOf(health, service);
      if (status === undefined) throw new ConnectError("This server has no such service.", Code.NotFound);
      return { status };
    },

    list() {
      const statuses = [...health.statuses].map(([service, status]) => [
        service,
        { status: WireStatus[status] },
      ]);
      return { statuses: Object.fromEntries(statuses) };
    },

    watch: ({ service }, { signal }) => watchStatus(service, signal),
  };
}

/** `Health/Watch` for the fast lane. */
export function healthStream(health: Health, streamsMustEnd: AbortSignal): ServerStream {
  const watchStatus = statusWatcher(health, streamsMustEnd);
  return async function* (request, over) {
    const { service } = request as HealthCheckRequest;
    for await (const status of watchStatus(service, over)) yield create(HealthCheckResponseSchema, status);
  };
}

/** A watcher that reads slowly gets the latest state, not each one in between. */
function statusWatcher(health: Health, streamsMustEnd: AbortSignal) {
  return async function* (service: string, signal: AbortSignal) {
    let change = Promise.withResolvers<void>();
    const onChange = () => change.resolve();
    const unwatch = health.watch(service, onChange);
    signal.addEventListener("abort", onChange);
    streamsMustEnd.addEventListener("abort", onChange);
    try {
      let lastSent: number | undefined;
      for (;;) {
        const isStopping = streamsMustEnd.aborted;
        let status = wireStatusOf(health, service) ?? WireStatus.SERVICE_UNKNOWN;
        if (isStopping && status === WireStatus.SERVING) status = WireStatus.NOT_SERVING;
        if (status !== lastSent) {
          lastSent = status;
          yield { status };
        }
        if (isStopping) return;
        if (signal.aborted) throw signal.reason;
        await change.promise;
        change = Promise.withResolvers();
      }
    } finally {
      unwatch();
      streamsMustEnd.removeEventListener("abort", onChange);
    }
  };
}

function wireStatusOf({ statuses }: Health, service: string): WireStatus | undefined {
  const status = statuses.get(service);
  return status && WireStatus[status];
}
