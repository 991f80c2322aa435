import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { DownloadSessionService } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { serviceNow } from "../shell/service-clock.ts";

/** The session of a download is over, so its links are closed. */
export class LeaseLostError extends Error {}

export interface LeaseOptions {
  readonly sessions: Pick<Client<typeof DownloadSessionService>, "keepAlive">;
  readonly id: string;
  /** Percent, an integer. */
  progress(): number;
  /** Called once, when the session is over. */
  onLost(): void;
}

const firstPauseMs = 1_000;
const retryMs = 1_000;
/** Refusals that the next heartbeat gets as well; all others, such as an overload, pass. */
const finalCodes: readonly Code[] = [
  Code.NotFound,
  Code.FailedPrecondition,
  Code.Unauthenticated,
  Code.PermissionDenied,
];
/** The least keeps a lease of a second; the greatest raises the progress that others see. */
const [minPauseMs, maxPauseMs] = [300, 10_000];

/**
 * Keeps a session alive with a heartbeat at every third of its lease, until it is stopped. Goes on while the service does
 * not answer: the lease may outlive that.
 */
export function keepLease({ sessions, id, progress, onLost }: LeaseOptions): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const beat = async () => {
    const sentAt = serviceNow();
    let pauseMs = retryMs;
    try {
      const { expirationTime } = await sessions.keepAlive({
        downloadSessionId: id,
        progress: BigInt(progress()),
      });
      const leaseMs = expirationTime === undefined ? 0 : timestampMs(expirationTime) - sentAt;
      pauseMs = Math.max(minPauseMs, Math.min(maxPauseMs, leaseMs / 3));
    } catch (error) {
      if (isStopped) return;
      if (finalCodes.includes(ConnectError.from(error).code)) {
        onLost();
        return;
      }
    }
    if (!isStopped) timer = setTimeout(beat, pauseMs);
  };
  let isStopped = false;
  timer = setTimeout(beat, firstPauseMs);
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}
