import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescMethod,
  getOption,
  hasOption,
  ScalarType,
} from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { LocalizableMessageSchema } from "../../gen/vapi/v1/localizable_message_pb.ts";
import { operation as operationOption, service as serviceOption } from "../../gen/vapi/v1/options_pb.ts";
import type { Operation } from "../calls/pipeline.ts";
import { enumerationIdOf, heldFieldOf, isOptional, isSecret, structureIdOf } from "../calls/vapi-schema.ts";
import { type ErrorKind, errorKinds } from "../domain/errors.ts";

/** A type as VMware's interface language has it. */
export type VapiType =
  | { readonly kind: "builtin"; readonly name: BuiltinName }
  | { readonly kind: "enumeration"; readonly enumeration: VapiEnumeration }
  | { readonly kind: "structure"; readonly structure: VapiStructure }
  | { readonly kind: "list" | "optional" | "map"; readonly element: VapiType };

export type BuiltinName =
  | "VOID"
  | "BOOLEAN"
  | "LONG"
  | "DOUBLE"
  | "STRING"
  | "SECRET"
  | "DATE_TIME"
  | "DYNAMIC_STRUCTURE";

export interface VapiEnumeration {
  readonly id: string;
  readonly values: readonly string[];
}

export interface VapiStructure {
  readonly id: string;
  readonly isError: boolean;
  /** Read on use: a structure may contain itself. */
  readonly fields: readonly VapiField[];
}

export interface VapiField {
  readonly name: string;
  readonly type: VapiType;
}

export interface VapiOperation {
  readonly id: string;
  readonly parameters: readonly VapiField[];
  readonly result: VapiType;
  readonly errors: readonly VapiStructure[];
  /** Whether callers need no credentials. */
  readonly isPublic: boolean;
  /** Whether it opens a login session. */
  readonly isLogin: boolean;
}

type Row = { readonly method: DescMethod } & Pick<Operation, "isPublic" | "isLogin">;

/** Operations by id, by the id of their service. */
export type VapiServices = ReadonlyMap<string, ReadonlyMap<string, VapiOperation>>;

/** Errors that any operation may return, besides those that it declares. */
const commonErrors: readonly ErrorKind[] = ["service_unavailable", "internal_server_error"];

const builtin = (name: BuiltinName): VapiType => ({ kind: "builtin", name });
const optional = (element: VapiType): VapiType => ({ kind: "optional", element });

/** The operations that have the `vapi.v1.operation` option. */
export function vapiServicesOf(rows: readonly Row[]): VapiServices {
  const services = new Map<string, Map<string, VapiOperation>>();
  for (const row of rows) {
    const { method } = row;
    if (!hasOption(method, operationOption)) continue;
    const { id: serviceId } = getOption(method.parent, serviceOption);
    const operations = services.get(serviceId) ?? new Map<string, VapiOperation>();
    services.set(serviceId, operations);
    const operation = operationOf(row);
    operations.set(operation.id, operation);
  }
  return services;
}

function operationOf({ method, isPublic = false, isLogin = false }: Row): VapiOperation {
  const { id, result: resultName, errors } = getOption(method, operationOption);
  const result = method.output.fields.find(({ name }) => name === resultName);
  const kinds = [...errors, ...commonErrors, ...(isPublic ? [] : ["unauthenticated"])];
  const names = new Set(kinds.map((kind) => errorKinds[kind as ErrorKind].vapi));
  return {
    id,
    parameters: fieldsOf(method.input),
    result: result === undefined ? builtin("VOID") : valueTypeOf(result),
    errors: [...names].map(errorOf),
    isPublic,
    isLogin,
  };
}

function fieldsOf(desc: DescMessage): VapiField[] {
  return desc.fields.map((field) => {
    const type = valueTypeOf(field);
    return { name: field.name, type: isOptional(field) ? optional(type) : type };
  });
}

/** The type of a field's value when it is set. */
function valueTypeOf(field: DescField): VapiType {
  switch (field.fieldKind) {
    case "scalar":
      return scalarTypeOf(field.scalar, isSecret(field));
    case "enum":
      return enumerationTypeOf(field.enum);
    case "message":
      return messageTypeOf(field.message);
    default: {
      const { message, enum: values, scalar } = field;
      const element = message
        ? messageTypeOf(message)
        : values
          ? enumerationTypeOf(values)
          : scalarTypeOf(scalar!, false);
      return { kind: field.fieldKind, element };
    }
  }
}

function scalarTypeOf(scalar: ScalarType, isHidden: boolean): VapiType {
  switch (scalar) {
    case ScalarType.BOOL:
      return builtin("BOOLEAN");
    case ScalarType.INT64:
      return builtin("LONG");
    case ScalarType.DOUBLE:
      return builtin("DOUBLE");
    default:
      return builtin(isHidden ? "SECRET" : "STRING");
  }
}

function enumerationTypeOf(desc: DescEnum): VapiType {
  const values = desc.values.filter(({ number }) => number !== 0).map(({ localName }) => localName);
  return { kind: "enumeration", enumeration: { id: enumerationIdOf(desc), values } };
}

function messageTypeOf(desc: DescMessage): VapiType {
  if (desc.typeName === TimestampSchema.typeName) return builtin("DATE_TIME");
  const held = heldFieldOf(desc);
  if (held !== undefined) return valueTypeOf(held);
  return {
    kind: "structure",
    structure: {
      id: structureIdOf(desc) ?? "",
      isError: false,
      get fields() {
        return fieldsOf(desc);
      },
    },
  };
}

function errorOf(name: string): VapiStructure {
  const challenge = { name: "challenge", type: optional(builtin("STRING")) };
  return {
    id: `com.vmware.vapi.std.errors.${name}`,
    isError: true,
    fields: [
      { name: "messages", type: { kind: "list", element: messageTypeOf(LocalizableMessageSchema) } },
      { name: "data", type: optional(builtin("DYNAMIC_STRUCTURE")) },
      { name: "error_type", type: optional(builtin("STRING")) },
      ...(name === "unauthenticated" ? [challenge] : []),
    ],
  };
}
