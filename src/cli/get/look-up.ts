import { ConnectError } from "@connectrpc/connect";
import { isNetworkError, isRetryable, retryAfterMs } from "../../client/retry.ts";
import { RetryLoop } from "../../client/retry-loop.ts";
import { explain, isPassing } from "../failure.ts";
import { findItem } from "../find-item.ts";
import { ItemNames } from "../item-names.ts";
import type { Task } from "../run.ts";
import { systemError } from "../system-error.ts";

export interface NamedItem {
  readonly itemId: string;
  /** `library/item` */
  readonly name: string;
}

export interface Patience {
  /** How long to retry. */
  readonly patienceMs: number;
  /** Called before each pause with a sentence that says why. */
  readonly onWait: (text: string) => void;
}

/** Finds the item of a download with its name. @throws DownloadError `unreachable` */
export function lookUp(
  task: Pick<Task, "server" | "call">,
  reference: string,
  patience: Patience,
): Promise<NamedItem> {
  return withPatience(task, patience, async (each) => {
    const { id: itemId } = await findItem(each, reference);
    return { itemId, name: await new ItemNames(each, isNetworkError).of(itemId) };
  });
}

/**
 * Repeats calls after failures that may not occur again.
 *
 * @param work makes the calls with the given options
 * @throws DownloadError `unreachable` if the failures last too long
 */
export async function withPatience<T>(
  { server, call }: Pick<Task, "server" | "call">,
  { patienceMs, onWait }: Patience,
  work: (task: Pick<Task, "server" | "call">) => Promise<T>,
): Promise<T> {
  const retryLoop = new RetryLoop(patienceMs, onWait);
  let isReached = false;
  const onHeader = () => {
    isReached = true;
  };
  const task = { server, call: { ...call, onHeader } };
  for (let failures = 1; ; failures++) {
    try {
      return await work(task);
    } catch (error) {
      call.signal.throwIfAborted();
      if (!(error instanceof ConnectError) || !isRetryable(error)) throw error;
      isReached ||= isServerThere(error);
      if (!isReached) throw error;
      // Without the advice, which is for the last failure.
      const [text = ""] = explain(error, server.url)!.message.split(/\.(?: |$)/);
      const failure = {
        text,
        reason: "unreachable",
        cause: error,
        retryAfterMs: retryAfterMs(error),
      } as const;
      await retryLoop.recordFailure(failure, failures, call.signal);
    }
  }
}

/** Codes of connections that were open. */
const cutCodes: readonly unknown[] = ["ECONNRESET", "ECONNABORTED", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE"];

/**
 * Whether a call failed at a server that exists: its connection was cut, or the server is slow or too busy. Any other failure of the very
 * first call, such as a refused connection or an untrusted certificate, is more likely a mistake in the URL.
 */
function isServerThere(error: unknown): boolean {
  const cause = systemError(error);
  return cause === undefined ? isPassing(error) : cutCodes.includes(cause.code);
}
