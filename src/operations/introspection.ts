import { create } from "@bufbuild/protobuf";
import {
  type DataDefinition,
  DataDefinitionSchema,
  DataDefinition_DataType as DataType,
  OperationIntrospectionService,
  OperationIntrospectionServiceGetResponseSchema,
  OperationIntrospectionServiceListResponseSchema,
  ProviderIntrospectionService,
  ProviderIntrospectionServiceGetResponseSchema,
  ServiceIntrospectionService,
  ServiceIntrospectionServiceGetResponseSchema,
  ServiceIntrospectionServiceListResponseSchema,
} from "../../gen/vapi/std/introspection/v1/introspection_pb.ts";
import { type Operation, operation } from "../calls/pipeline.ts";
import { ServiceError } from "../domain/errors.ts";
import type { BuiltinName, VapiField, VapiOperation, VapiServices, VapiType } from "./vapi-types.ts";

const { method: providerRpc } = ProviderIntrospectionService;
const { method: serviceRpc } = ServiceIntrospectionService;
const { method: operationRpc } = OperationIntrospectionService;

export const introspectionMethods = [
  ...ProviderIntrospectionService.methods,
  ...ServiceIntrospectionService.methods,
  ...OperationIntrospectionService.methods,
];

/**
 * The operations of `com.vmware.vapi.std.introspection`.
 *
 * @param fingerprint changes with the services
 */
export function introspectionOperations(services: VapiServices, fingerprint: () => string): Operation[] {
  return [
    operation({
      method: providerRpc.get,
      isPublic: true,
      run: async () =>
        create(ProviderIntrospectionServiceGetResponseSchema, {
          info: { id: "downlease", checksum: fingerprint() },
        }),
    }),
    operation({
      method: serviceRpc.list,
      isPublic: true,
      run: async () =>
        create(ServiceIntrospectionServiceListResponseSchema, { serviceIds: [...services.keys()] }),
    }),
    operation({
      method: serviceRpc.get,
      isPublic: true,
      async run({ id }) {
        const operations = [...requireService(services, id).keys()];
        return create(ServiceIntrospectionServiceGetResponseSchema, { info: { operations } });
      },
    }),
    operation({
      method: operationRpc.list,
      isPublic: true,
      async run({ serviceId }) {
        const operationIds = [...requireService(services, serviceId).keys()];
        return create(OperationIntrospectionServiceListResponseSchema, { operationIds });
      },
    }),
    operation({
      method: operationRpc.get,
      isPublic: true,
      async run({ serviceId, operationId }) {
        const { parameters, result, errors } = requireOperation(services, serviceId, operationId);
        return create(OperationIntrospectionServiceGetResponseSchema, {
          info: {
            inputDefinition: structureDefinition("operation-input", parameters, []),
            outputDefinition: definitionOf(result, []),
            errorDefinitions: errors.map((structure) => definitionOf({ kind: "structure", structure }, [])),
          },
        });
      },
    }),
  ];
}

/** @throws ServiceError `not_found` */
export function requireService(services: VapiServices, id: string): ReadonlyMap<string, VapiOperation> {
  const operations = services.get(id);
  if (operations === undefined) throw new ServiceError("downlease.metadata.not_found", ["service", id]);
  return operations;
}

/** @throws ServiceError `not_found` */
export function requireOperation(services: VapiServices, serviceId: string, id: string): VapiOperation {
  const found = requireService(services, serviceId).get(id);
  if (found === undefined) throw new ServiceError("downlease.metadata.not_found", ["operation", id]);
  return found;
}

const builtinTypes: Record<BuiltinName, DataType> = {
  VOID: DataType.VOID,
  BOOLEAN: DataType.BOOLEAN,
  LONG: DataType.LONG,
  DOUBLE: DataType.DOUBLE,
  STRING: DataType.STRING,
  SECRET: DataType.SECRET,
  DATE_TIME: DataType.STRING,
  DYNAMIC_STRUCTURE: DataType.DYNAMIC_STRUCTURE,
};

/** @param around the structures around this one, which it can only name */
function definitionOf(type: VapiType, around: readonly string[]): DataDefinition {
  switch (type.kind) {
    case "builtin":
      return create(DataDefinitionSchema, { type: builtinTypes[type.name] });
    case "enumeration":
      return create(DataDefinitionSchema, { type: DataType.STRING });
    case "optional":
      return withElement(DataType.OPTIONAL, definitionOf(type.element, around));
    case "list":
      return withElement(DataType.LIST, definitionOf(type.element, around));
    case "map": {
      const key = { name: "key", type: { kind: "builtin", name: "STRING" } } as const;
      const fields = [key, { name: "value", type: type.element }];
      return withElement(DataType.LIST, structureDefinition("map-entry", fields, around));
    }
    case "structure": {
      const { id, fields, isError } = type.structure;
      if (around.includes(id))
        return create(DataDefinitionSchema, { type: DataType.STRUCTURE_REF, name: id });
      const kind = isError ? DataType.ERROR : DataType.STRUCTURE;
      return structureDefinition(id, fields, [...around, id], kind);
    }
  }
}

function withElement(type: DataType, elementDefinition: DataDefinition): DataDefinition {
  return create(DataDefinitionSchema, { type, elementDefinition });
}

function structureDefinition(
  name: string,
  members: readonly VapiField[],
  around: readonly string[],
  type: DataType = DataType.STRUCTURE,
): DataDefinition {
  const fields = Object.fromEntries(members.map((field) => [field.name, definitionOf(field.type, around)]));
  return create(DataDefinitionSchema, { type, name, fields: { fields } });
}
