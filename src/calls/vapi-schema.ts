import { type DescEnum, type DescField, type DescMessage, getOption, hasOption } from "@bufbuild/protobuf";
import {
  enumeration as enumerationOption,
  field as fieldOption,
  structure as structureOption,
} from "../../gen/vapi/v1/options_pb.ts";

/** Canonical name of the message's vAPI structure; undefined when it has none. */
export function structureIdOf(desc: DescMessage): string | undefined {
  return (hasOption(desc, structureOption) && getOption(desc, structureOption).id) || undefined;
}

/** The field that stands for the whole message; undefined when the message is a structure. */
export function heldFieldOf(desc: DescMessage): DescField | undefined {
  return getOption(desc, structureOption).holder ? desc.fields[0] : undefined;
}

/** Canonical name of the enum's vAPI enumeration, by its option or by the structure that it is in. */
export function enumerationIdOf(desc: DescEnum): string {
  if (hasOption(desc, enumerationOption)) return getOption(desc, enumerationOption).id;
  const name = desc.name.replace(/(?<!^)[A-Z]/g, "_$&").toLowerCase();
  return `${desc.parent && structureIdOf(desc.parent)}.${name}`;
}

/** Whether the field is optional in vAPI. */
export function isOptional(field: DescField): boolean {
  return field.proto.proto3Optional || getOption(field, fieldOption).optional;
}

export function isSecret(field: DescField): boolean {
  return getOption(field, fieldOption).secret;
}

/** Whether the field is ignored in requests. */
export function isOutputOnly(field: DescField): boolean {
  return getOption(field, fieldOption).outputOnly;
}
