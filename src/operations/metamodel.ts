import { create, type DescMethod } from "@bufbuild/protobuf";
import {
  ComponentMetamodelService,
  ComponentMetamodelServiceFingerprintResponseSchema,
  ComponentMetamodelServiceGetResponseSchema,
  ComponentMetamodelServiceListResponseSchema,
  EnumerationMetamodelService,
  EnumerationMetamodelServiceGetResponseSchema,
  EnumerationMetamodelServiceListResponseSchema,
  OperationMetamodelService,
  OperationMetamodelServiceGetResponseSchema,
  OperationMetamodelServiceListResponseSchema,
  PackageMetamodelService,
  PackageMetamodelServiceGetResponseSchema,
  PackageMetamodelServiceListResponseSchema,
  ServiceMetamodelService,
  ServiceMetamodelServiceGetResponseSchema,
  ServiceMetamodelServiceListResponseSchema,
  StructureMetamodelService,
  StructureMetamodelServiceGetResponseSchema,
  StructureMetamodelServiceListResponseSchema,
} from "../../gen/vapi/metadata/metamodel/v1/metamodel_pb.ts";
import { type Operation, operation } from "../calls/pipeline.ts";
import { ServiceError } from "../domain/errors.ts";
import { Turns } from "../domain/turns.ts";
import type { Metamodel } from "./metamodel-infos.ts";

const { method: componentRpc } = ComponentMetamodelService;
const { method: packageRpc } = PackageMetamodelService;
const { method: serviceRpc } = ServiceMetamodelService;
const { method: operationRpc } = OperationMetamodelService;
const { method: structureRpc } = StructureMetamodelService;
const { method: enumerationRpc } = EnumerationMetamodelService;

export const metamodelMethods: readonly DescMethod[] = [
  ComponentMetamodelService,
  PackageMetamodelService,
  ServiceMetamodelService,
  OperationMetamodelService,
  StructureMetamodelService,
  EnumerationMetamodelService,
].flatMap(({ methods }) => methods);

/** Reads the metamodel in turns: its answers are long, and nobody has to log in for them. */
type Read = () => Promise<Metamodel>;

/** The operations of `com.vmware.vapi.metadata.metamodel` that read. */
export function metamodelOperations(metamodel: () => Metamodel): Operation[] {
  const turns = new Turns();
  const read: Read = () => turns.run(metamodel);
  return [...components(read), ...packages(read), ...services(read), ...types(read)];
}

function components(read: Read): Operation[] {
  const requireComponent = async (id: string) => {
    const { component, fingerprint } = await read();
    if (id !== component.name) throw new ServiceError("downlease.metadata.not_found", ["component", id]);
    return { info: component, fingerprint };
  };
  return [
    operation({
      method: componentRpc.list,
      isPublic: true,
      run: async () =>
        create(ComponentMetamodelServiceListResponseSchema, {
          componentIds: [(await read()).component.name],
        }),
    }),
    operation({
      method: componentRpc.get,
      isPublic: true,
      run: async ({ componentId }) =>
        create(ComponentMetamodelServiceGetResponseSchema, { info: await requireComponent(componentId) }),
    }),
    operation({
      method: componentRpc.fingerprint,
      isPublic: true,
      async run({ componentId }) {
        const { fingerprint } = await requireComponent(componentId);
        return create(ComponentMetamodelServiceFingerprintResponseSchema, { fingerprint });
      },
    }),
  ];
}

function packages(read: Read): Operation[] {
  return [
    operation({
      method: packageRpc.list,
      isPublic: true,
      run: async () =>
        create(PackageMetamodelServiceListResponseSchema, {
          packageIds: Object.keys((await read()).packages),
        }),
    }),
    operation({
      method: packageRpc.get,
      isPublic: true,
      run: async ({ packageId }) =>
        create(PackageMetamodelServiceGetResponseSchema, {
          info: requireInfo((await read()).packages, packageId, "package"),
        }),
    }),
  ];
}

function services(read: Read): Operation[] {
  const requireService = async (id: string) => requireInfo((await read()).services, id, "service");
  return [
    operation({
      method: serviceRpc.list,
      isPublic: true,
      run: async () =>
        create(ServiceMetamodelServiceListResponseSchema, {
          serviceIds: Object.keys((await read()).services),
        }),
    }),
    operation({
      method: serviceRpc.get,
      isPublic: true,
      run: async ({ serviceId }) =>
        create(ServiceMetamodelServiceGetResponseSchema, { info: await requireService(serviceId) }),
    }),
    operation({
      method: operationRpc.list,
      isPublic: true,
      async run({ serviceId }) {
        const operationIds = Object.keys((await requireService(serviceId)).operations);
        return create(OperationMetamodelServiceListResponseSchema, { operationIds });
      },
    }),
    operation({
      method: operationRpc.get,
      isPublic: true,
      async run({ serviceId, operationId }) {
        const { operations } = await requireService(serviceId);
        const info = requireInfo(operations, operationId, "operation");
        return create(OperationMetamodelServiceGetResponseSchema, { info });
      },
    }),
  ];
}

function types(read: Read): Operation[] {
  return [
    operation({
      method: structureRpc.list,
      isPublic: true,
      run: async () =>
        create(StructureMetamodelServiceListResponseSchema, {
          structureIds: Object.keys((await read()).structures),
        }),
    }),
    operation({
      method: structureRpc.get,
      isPublic: true,
      run: async ({ structureId }) =>
        create(StructureMetamodelServiceGetResponseSchema, {
          info: requireInfo((await read()).structures, structureId, "structure"),
        }),
    }),
    operation({
      method: enumerationRpc.list,
      isPublic: true,
      run: async () =>
        create(EnumerationMetamodelServiceListResponseSchema, {
          enumerationIds: Object.keys((await read()).enumerations),
        }),
    }),
    operation({
      method: enumerationRpc.get,
      isPublic: true,
      run: async ({ enumerationId }) =>
        create(EnumerationMetamodelServiceGetResponseSchema, {
          info: requireInfo((await read()).enumerations, enumerationId, "enumeration"),
        }),
    }),
  ];
}

/** @throws ServiceError `not_found` */
function requireInfo<T>(infos: Readonly<Record<string, T>>, id: string, kind: string): T {
  if (!Object.hasOwn(infos, id)) throw new ServiceError("downlease.metadata.not_found", [kind, id]);
  return infos[id]!;
}
