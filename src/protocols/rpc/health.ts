import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type HealthCheckRequest,
  HealthCheckResponseSchema,
  Health as HealthService,
  HealthCheckResponse_ServingStatus as WireStatus,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import type { ServerStreamEntry } from "../../calls/pipeline.ts";
import { ServiceError } from "../../domain/errors.ts";
import type { Health } from "../../telemetry/health.ts";
import type { TakePlace } from "./open-streams.ts";

/** `grpc.health.v1` over the health state, but for `Watch`. */
export function healthService(health: Health): Pick<ServiceImpl<typeof HealthService>, "check" | "list"> {
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
  };
}

/**
 * `Health/Watch`, for anybody.
 *
 * @param streamsMustEnd ends watches, after they have sent NOT_SERVING
 */
export function healthWatch(
  health: Health,
  takePlace: TakePlace,
  streamsMustEnd: AbortSignal,
): ServerStreamEntry {
  const watchStatus = statusWatcher(health, streamsMustEnd);
  return (call) => {
    const leave = takePlace(call, HealthService.method.watch);
    const over = new AbortController();
    call.onAbort = (reason) => over.abort(new ServiceError(reason));
    let hasLeft = false;
    const end = () => {
      if (hasLeft) return;
      hasLeft = true;
      over.abort(new ServiceError("downlease.call.canceled"));
      leave();
    };
    return {
      async *answers(request) {
        const { service } = request as HealthCheckRequest;
        for await (const status of watchStatus(service, over.signal)) {
          yield create(HealthCheckResponseSchema, { status });
        }
      },
      end,
      leave: end,
    };
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
          yield status;
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
