import type { DescMethod } from "@bufbuild/protobuf";
import type { CallObserver, CallOrigin } from "../../calls/call.ts";
import { type ClientAddressOf, networkOf, type Requester } from "../../calls/client-address.ts";
import { operationNameOf } from "../../calls/pipeline.ts";
import type { ShareHolders } from "../../calls/share-holders.ts";
import { StreamPlace } from "../../calls/stream-place.ts";
import { ServiceError } from "../../domain/errors.ts";

/**
 * Takes a place for a stream that needs no credentials; returns a function that gives it back.
 *
 * @throws ServiceError when there are too many
 */
export type TakePlace = (call: CallOrigin & Requester, method: DescMethod) => () => void;

/** Places by the address of the caller. A refusal is recorded; the stream itself is no operation. */
export function placesIn(
  strangers: ShareHolders,
  clientAddressOf: ClientAddressOf,
  observe: CallObserver,
): TakePlace {
  return (call, method) => {
    try {
      const place = new StreamPlace(strangers, networkOf(clientAddressOf(call)));
      return () => place.leave();
    } catch (error) {
      if (error instanceof ServiceError) {
        observe({ call, operation: operationNameOf(method), outcome: error.kind, durationMs: 0, error });
      }
      throw error;
    }
  };
}
