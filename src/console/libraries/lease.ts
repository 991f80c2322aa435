import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { DownloadSessionService } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { isPassing } from "../shell/queries.ts";

/** The session of a download has ended, so its links are closed. */
export class LeaseLostError extends Error {}

export interface LeaseOptions {
  readonly sessions: Client<typeof DownloadSessionService>;
  readonly id: string;
  /** Percent, an integer. */
  progress(): number;
  onLost(error: LeaseLostError): void;
}

const firstPauseMs = 1_000;
const retryMs = 1_000;

/**
 * Keeps a session alive with a heartbeat at every third of its lease, until it is stopped. Goes on while the service does
 * not answer: the lease may outlive that.
 */
export function keepLease({ sessions, id, progress, onLost }: LeaseOptions): () => void {
  let timer: number;
  const beat = async () => {
    const sentAt = Date.now();
    let pauseMs = retryMs;
    try {
      const { expirationTime } = await sessions.keepAlive({
        downloadSessionId: id,
        progress: BigInt(progress()),
      });
      const leaseMs = expirationTime === undefined ? 0 : timestampMs(expirationTime) - sentAt;
      // The clock of this machine may be wrong; a heartbeat a second is still cheap.
      pauseMs = Math.max(1_000, Math.min(60_000, leaseMs / 3));
    } catch (error) {
      if (isStopped) return;
      if (!isPassing(error)) {
        onLost(new LeaseLostError(reasonOf(error)));
        return;
      }
    }
    if (!isStopped) timer = window.setTimeout(beat, pauseMs);
  };
  let isStopped = false;
  timer = window.setTimeout(beat, firstPauseMs);
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}

function reasonOf(error: unknown): string {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.NotFound)
    return "The download session has expired or was deleted. Download the item again.";
  if (code === Code.FailedPrecondition) return "The download session was ended. Download the item again.";
  return rawMessage;
}
