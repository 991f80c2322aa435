import { hash } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  Type_BuiltinType as BuiltinType,
  Type_Category as Category,
  type ComponentInfo,
  ComponentInfoSchema,
  type EnumerationInfo,
  EnumerationInfoSchema,
  type FieldInfo,
  FieldInfoSchema,
  type GenericInstantiationSchema,
  GenericInstantiation_GenericType as GenericType,
  type OperationInfo,
  OperationInfoSchema,
  type PackageInfo,
  PackageInfoSchema,
  type ServiceInfo,
  ServiceInfoSchema,
  type StructureInfo,
  StructureInfo_Kind,
  StructureInfoSchema,
  type Type,
  TypeSchema,
} from "../../gen/vapi/metadata/metamodel/v1/metamodel_pb.ts";
import type {
  VapiEnumeration,
  VapiField,
  VapiOperation,
  VapiServices,
  VapiStructure,
  VapiType,
} from "./vapi-types.ts";

type ById<T> = Readonly<Record<string, T>>;

/** What is served, in the messages of `com.vmware.vapi.metadata.metamodel`. */
export interface Metamodel {
  /** The only one. */
  readonly component: ComponentInfo;
  /** Changes with the component. */
  readonly fingerprint: string;
  readonly packages: ById<PackageInfo>;
  readonly services: ById<ServiceInfo>;
  readonly structures: ById<StructureInfo>;
  readonly enumerations: ById<EnumerationInfo>;
}

export function metamodelOf(served: VapiServices): Metamodel {
  const types = new TypeCollector(served);
  const enumerations = infosOf([...types.enumerations.values()], enumerationInfo);
  const structures = infosOf([...types.structures.values()], (structure) =>
    structureInfo(structure, within(structure.id, enumerations)),
  );
  const services = Object.fromEntries(
    [...served].map(([id, operations]) => [
      id,
      create(ServiceInfoSchema, {
        name: id,
        operations: infosOf([...operations.values()], operationInfo),
        structures: within(id, structures),
        enumerations: within(id, enumerations),
      }),
    ]),
  );
  const packageIds = new Set([
    ...Object.keys(services).map(parentOf),
    ...[...Object.keys(structures), ...Object.keys(enumerations)]
      .map(parentOf)
      .filter((id) => !(id in services) && !(id in structures)),
  ]);
  const packages = infosOf(
    [...packageIds].sort().map((id) => ({ id })),
    ({ id }) => packageInfo(id, services, structures, enumerations),
  );
  const component = create(ComponentInfoSchema, { name: "com.vmware.downlease", packages });
  const fingerprint = hash("sha256", toBinary(ComponentInfoSchema, component));
  return { component, fingerprint, packages, services, structures, enumerations };
}

/** The structures and enumerations that operations use, by id. */
class TypeCollector {
  readonly structures = new Map<string, VapiStructure>();
  readonly enumerations = new Map<string, VapiEnumeration>();

  constructor(served: VapiServices) {
    for (const operations of served.values()) {
      for (const { parameters, result, errors } of operations.values()) {
        for (const { type } of parameters) this.#add(type);
        this.#add(result);
        for (const error of errors) this.#addStructure(error);
      }
    }
  }

  #add(type: VapiType): void {
    if (type.kind === "enumeration") this.enumerations.set(type.enumeration.id, type.enumeration);
    else if (type.kind === "structure") this.#addStructure(type.structure);
    else if (type.kind !== "builtin") this.#add(type.element);
  }

  #addStructure(structure: VapiStructure): void {
    if (this.structures.has(structure.id)) return;
    this.structures.set(structure.id, structure);
    for (const { type } of structure.fields) this.#add(type);
  }
}

function packageInfo(
  id: string,
  services: ById<ServiceInfo>,
  structures: ById<StructureInfo>,
  enumerations: ById<EnumerationInfo>,
): PackageInfo {
  // What is defined in a service is there, even if a package has the same name.
  const isService = id in services;
  return create(PackageInfoSchema, {
    name: id,
    services: within(id, services),
    structures: isService ? {} : within(id, structures),
    enumerations: isService ? {} : within(id, enumerations),
  });
}

function operationInfo({ id, parameters, result, errors }: VapiOperation): OperationInfo {
  return create(OperationInfoSchema, {
    name: id,
    params: parameters.map(fieldInfo),
    output: { type: typeInfo(result) },
    errors: errors.map((error) => ({ structureId: error.id })),
  });
}

function structureInfo(
  { id, isError, fields }: VapiStructure,
  enumerations: ById<EnumerationInfo>,
): StructureInfo {
  return create(StructureInfoSchema, {
    name: id,
    type: isError ? StructureInfo_Kind.ERROR : StructureInfo_Kind.STRUCTURE,
    enumerations,
    fields: fields.map(fieldInfo),
  });
}

function enumerationInfo({ id, values }: VapiEnumeration): EnumerationInfo {
  return create(EnumerationInfoSchema, { name: id, values: values.map((value) => ({ value })) });
}

function fieldInfo({ name, type }: VapiField): FieldInfo {
  return create(FieldInfoSchema, { name, type: typeInfo(type) });
}

function typeInfo(type: VapiType): Type {
  switch (type.kind) {
    case "builtin":
      return create(TypeSchema, { category: Category.BUILTIN, builtinType: BuiltinType[type.name] });
    case "enumeration":
      return userDefined("com.vmware.vapi.enumeration", type.enumeration.id);
    case "structure":
      return userDefined("com.vmware.vapi.structure", type.structure.id);
    case "list":
      return generic({ genericType: GenericType.LIST, elementType: typeInfo(type.element) });
    case "optional":
      return generic({ genericType: GenericType.OPTIONAL, elementType: typeInfo(type.element) });
    case "map":
      return generic({
        genericType: GenericType.MAP,
        mapKeyType: typeInfo({ kind: "builtin", name: "STRING" }),
        mapValueType: typeInfo(type.element),
      });
  }
}

function userDefined(resourceType: string, resourceId: string): Type {
  return create(TypeSchema, {
    category: Category.USER_DEFINED,
    userDefinedType: { resourceType, resourceId },
  });
}

function generic(genericInstantiation: MessageInitShape<typeof GenericInstantiationSchema>): Type {
  return create(TypeSchema, { category: Category.GENERIC, genericInstantiation });
}

function infosOf<T extends { readonly id: string }, I>(
  items: readonly T[],
  make: (item: T) => I,
): Record<string, I> {
  return Object.fromEntries(items.map((item) => [item.id, make(item)]));
}

function within<T>(id: string, infos: ById<T>): Record<string, T> {
  return Object.fromEntries(Object.entries(infos).filter(([each]) => parentOf(each) === id));
}

function parentOf(id: string): string {
  return id.slice(0, id.lastIndexOf("."));
}
