import { createClient } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { AdminService, type Overview } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { transport } from "../shell/transport.ts";

/** One reading of the overview, for the plots. */
export interface Sample {
  /** Seconds since the epoch. */
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

/** The state of the service, read every other second, and the readings of the last 15 minutes. */
export function useOverview() {
  return useQuery({
    queryKey: ["overview"],
    queryFn: async () => {
      const { overview } = await admin.getOverview({});
      if (overview !== undefined) remember(overview);
      return { overview, samples };
    },
    refetchInterval: readMs,
  });
}

function remember(overview: Overview): void {
  const at = Date.now() / 1000;
  const sample: Sample = {
    at,
    active: Number(overview.activeSessions),
    renewedPerSecond: overview.renewedPerSecond,
    grantedPerSecond: overview.grantedPerSecond,
    expiredPerSecond: overview.expiredPerSecond,
    downloads: Number(overview.downloads),
    bytesPerSecond: overview.bytesPerSecond,
  };
  samples = [...samples.filter((each) => each.at > at - spanSeconds), sample];
}
