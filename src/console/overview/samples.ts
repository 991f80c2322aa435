import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { AdminService, type Overview, type OverviewPoint } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { serviceNow } from "../shell/service-clock.ts";
import { transport } from "../shell/transport.ts";

/** One reading of the service, for the plots. */
export interface Sample {
  /** Seconds since the epoch, on the clock of the service. */
  readonly at: number;
  readonly active: number;
  readonly renewedPerSecond: number;
  readonly grantedPerSecond: number;
  readonly expiredPerSecond: number;
  readonly downloads: number;
  readonly bytesPerSecond: number;
}

const readMs = 2_000;
/** The plots show the last 15 minutes. */
export const spanSeconds = 15 * 60;

const admin = createClient(AdminService, transport);

/** Outlives the page of the overview, so that the plots go on when it is opened again. */
let samples: readonly Sample[] = [];

/** A page that was not open for so long has missed too much. */
const maxGapSeconds = 30;

/** The state of the service, read every other second, and the readings of the last 15 minutes. */
export function useOverview() {
  return useQuery({
    queryKey: ["overview"],
    queryFn: async () => {
      const now = serviceNow() / 1000;
      if ((samples.at(-1)?.at ?? 0) < now - maxGapSeconds) samples = await readHistory();
      const { overview } = await admin.getOverview({});
      const latest = overview === undefined ? [] : [sampleOf(overview)];
      samples = [...samples.filter(({ at }) => at > now - spanSeconds), ...latest];
      return { overview, samples };
    },
    refetchInterval: readMs,
  });
}

/** What the service has seen before the page was opened. */
async function readHistory(): Promise<Sample[]> {
  const { points } = await admin.getHistory({});
  return points.map(sampleOf);
}

function sampleOf(point: Overview | OverviewPoint): Sample {
  const { activeSessions, renewedPerSecond, grantedPerSecond, expiredPerSecond, bytesPerSecond } = point;
  return {
    at: secondsOf(point.time),
    active: Number(activeSessions),
    renewedPerSecond,
    grantedPerSecond,
    expiredPerSecond,
    downloads: Number(point.downloads),
    bytesPerSecond,
  };
}

function secondsOf(time: Timestamp | undefined): number {
  return (time === undefined ? serviceNow() : timestampMs(time)) / 1000;
}
