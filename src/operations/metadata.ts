import type { Operation } from "../calls/pipeline.ts";
import { authenticationMethods, authenticationOperations } from "./authentication-metadata.ts";
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
  const methods = [...introspectionMethods, ...authenticationMethods, ...metamodelMethods];
  const services = vapiServicesOf([...served, ...methods.map((method) => ({ method, isPublic: true }))]);
  let made: Metamodel | undefined;
  // Made on first use: most services never need it.
  const metamodel = () => {
    made ??= metamodelOf(services);
    return made;
  };
  return [
    ...introspectionOperations(services, () => metamodel().fingerprint),
    ...authenticationOperations(services),
    ...metamodelOperations(metamodel),
  ];
}
