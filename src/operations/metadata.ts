import type { DescMethod } from "@bufbuild/protobuf";
import { hasOption } from "@bufbuild/protobuf";
import { operation as operationOption } from "../../gen/vapi/v1/options_pb.ts";
import type { Operation } from "../calls/pipeline.ts";
import { introspectionMethods, introspectionOperations } from "./introspection.ts";
import { metamodelMethods, metamodelOperations } from "./metamodel.ts";
import { type Metamodel, metamodelOf } from "./metamodel-infos.ts";
import { vapiServicesOf } from "./vapi-types.ts";

/**
 * The operations that describe all operations, these included, to clients that make their commands from what is served.
 *
 * @param served the other operations
 */
export function metadataOperations(served: readonly Operation[]): Operation[] {
  const methods: readonly DescMethod[] = [
    ...served.map(({ method }) => method),
    ...introspectionMethods,
    ...metamodelMethods,
  ];
  const services = vapiServicesOf(methods.filter((method) => hasOption(method, operationOption)));
  let made: Metamodel | undefined;
  // Made on first use: most services never need it.
  const metamodel = () => {
    made ??= metamodelOf(services);
    return made;
  };
  return [
    ...introspectionOperations(services, () => metamodel().fingerprint),
    ...metamodelOperations(metamodel),
  ];
}
