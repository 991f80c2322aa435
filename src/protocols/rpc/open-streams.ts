import type { DescMethod } from "@bufbuild/protobuf";
import type { CallObserver, CallOrigin } from "../../calls/call.ts";
import { type ClientAddressOf, networkOf, type Requester } from "../../calls/client-address.ts";
import { operationNameOf } from "../../calls/pipeline.ts";
import type { ShareHolders } from "../../calls/share-holders.ts";
import { ServiceError } from "../../domain/errors.ts";

/**
 * Takes a place for a stream that needs no credentials; returns a function that gives it back.
 *
 * @throws ServiceError when there are too many
 */
export type TakePlace = (call: CallOrigin & Requester, method: DescMethod) => () => void;

/** Places by the address of the caller. A refusal is recorded; the stream itself is no operation. */
export function placesIn(
  watches: ShareHolders,
  clientAddressOf: ClientAddressOf,
  observe: CallObserver,
): TakePlace {
  const error = ServiceError.tooManyStreams();
  return (call, method) => {
    const address = networkOf(clientAddressOf(call));
    if (watches.enter(address)) return () => watches.leave(address);
    observe({ call, operation: operationNameOf(method), outcome: error.kind, durationMs: 0, error });
    throw error;
  };
}
