import { hasOption } from "@bufbuild/protobuf";
import { operation as operationOption } from "../../../gen/vapi/v1/options_pb.ts";
import { type CallPipeline, type Entry, type Operation, operationNameOf } from "../../calls/pipeline.ts";
import { type MessagePlan, planOf } from "./binder.ts";
import { fieldEncoderOf } from "./encoder.ts";
import type { Notation } from "./notation.ts";
import { type OperationOptions, optionsOf } from "./operation-options.ts";
import type { Tree } from "./tree.ts";

/** An operation as the vAPI protocols serve it, built from the descriptors' options. */
export interface Binding extends Omit<OperationOptions, "result"> {
  /** For example `DownloadSession.KeepAlive`. */
  readonly name: string;
  readonly run: Entry;
  /** From the operation: high volume, successes are logged at debug. */
  readonly isRoutine: boolean;
  /** From the operation: only operators of the service may call it. */
  readonly isAdministration: boolean;
  /** From the operation: its result is the identifier of a login session. */
  readonly isLogin: boolean;
  /** From the operation: it closes the login session of the call. */
  readonly isLogout: boolean;
  mappingFor(notation: Notation): MessageMapping;
}

/** How an operation's request and result map to trees in a notation. */
export interface MessageMapping {
  readonly request: MessagePlan;
  /** Undefined when the operation returns nothing. */
  readonly result: ((response: object) => Tree) | undefined;
}

/**
 * The bindings of all operations that have the `vapi.v1.operation` option.
 *
 * @throws BindingError, UnsupportedFieldError
 */
export function bindingsOf(pipeline: CallPipeline): Binding[] {
  return pipeline.operations.unary
    .filter(({ method }) => hasOption(method, operationOption))
    .map((row) => bindingOf(row, pipeline.entry(row)));
}

function bindingOf(row: Operation, run: Entry): Binding {
  const { method, isRoutine = false, isAdministration = false, isLogin = false, isLogout = false } = row;
  const options = optionsOf(method);
  return {
    ...options,
    name: operationNameOf(method),
    run,
    isRoutine,
    isAdministration,
    isLogin,
    isLogout,
    mappingFor: (notation) => ({
      request: planOf(method.input, notation),
      result: resultOf(options, notation),
    }),
  };
}

function resultOf({ result: field }: OperationOptions, notation: Notation): MessageMapping["result"] {
  if (field === undefined) return undefined;
  const encode = fieldEncoderOf(field, notation);
  return (response) => encode((response as Record<string, unknown>)[field.localName]);
}
