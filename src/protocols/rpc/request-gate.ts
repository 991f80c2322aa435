import type { DescMethod } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { asServiceError, type ServerStreamEntry } from "../../calls/pipeline.ts";
import { RpcCall, requestInfoKey } from "./call.ts";
import { connectErrorOf, isUnreadable, unreadable } from "./errors.ts";

interface Row {
  readonly method: DescMethod;
  readonly run: ServerStreamEntry;
}

/** What happens before Connect's runtime reads a request: a stream of answers is opened. */
export function requestGate(
  serverStreams: readonly Row[],
): (context: HandlerContext) => void | Promise<void> {
  const entries = new Map(serverStreams.map(({ method, run }) => [method, run]));
  return (context) => {
    blameCaller(context);
    const run = entries.get(context.method);
    return run && open(run, context);
  };
}

async function open(run: ServerStreamEntry, context: HandlerContext): Promise<void> {
  const call = new RpcCall(context, false);
  const info = context.values.get(requestInfoKey);
  try {
    const stream = await run(call);
    info.stream = stream;
    // Its request may have been closed meanwhile.
    if (context.signal.aborted) stream.leave();
  } catch (reason) {
    // The entry has recorded it.
    info.isCall = true;
    throw connectErrorOf(asServiceError(reason, call));
  }
}

/**
 * Connect reports bytes that are not a message with INTERNAL, as a fault of the server, and has no hook for it but the
 * signal of the call, which gets each error just before it is sent.
 */
function blameCaller({ signal, values }: HandlerContext): void {
  signal.addEventListener("abort", () => {
    const reason: unknown = signal.reason;
    if (isUnreadable(reason) && !values.get(requestInfoKey).isCall)
      Object.assign(reason as Error, unreadable());
  });
}
