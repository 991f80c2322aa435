import type { DescMethod } from "@bufbuild/protobuf";
import type { NamedAdmission } from "../../calls/admission.ts";
import type { CallObserver, CallOrigin } from "../../calls/call.ts";
import { operationNameOf } from "../../calls/pipeline.ts";
import { ServiceError } from "../../domain/errors.ts";

/**
 * Takes a place for a stream that needs no credentials; returns a function that gives it back.
 *
 * @throws ServiceError when there are too many
 */
export type TakePlace = (call: CallOrigin, method: DescMethod) => () => void;

/** Places by the address of the caller. A refusal is recorded; the stream itself is no operation. */
export function placesIn(watches: NamedAdmission, observe: CallObserver): TakePlace {
  const error = ServiceError.tooManyStreams();
  return (call, method) => {
    const leave = watches.enter(call.connection.peer);
    if (leave !== undefined) return leave;
    observe({ call, operation: operationNameOf(method), outcome: error.kind, durationMs: 0, error });
    throw error;
  };
}
