import {
  type DescEnum,
  type DescField,
  type DescMessage,
  isFieldSet,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema, timestampMs } from "@bufbuild/protobuf/wkt";
import { heldFieldOf, isOptional, isSecret, structureIdOf } from "../../calls/vapi-schema.ts";
import { unsupported } from "./binder.ts";
import { formatDateTime } from "./date-time.ts";
import { type Notation, restNotation } from "./notation.ts";
import { NumberLiteral, type Tree } from "./tree.ts";

/** Encodes one field value as a tree. */
type Encode = (value: never) => Tree;

interface EncodePlan {
  readonly name: string;
  readonly localName: string;
  readonly encode: Encode;
  /** Undefined when the member is always written. */
  readonly isSet: ((message: Message) => boolean) | undefined;
}

const plans = new WeakMap<Notation, WeakMap<DescMessage, EncodePlan[]>>();

/**
 * The encoder of a field in a notation; created once, at start-up. Lists and members without presence are always
 * written; longs are numbers, enums their names without prefix.
 *
 * @throws UnsupportedFieldError when a field, at any depth, has no vAPI representation
 */
export function fieldEncoderOf(
  field: DescField,
  notation: Notation = restNotation,
): (value: unknown) => Tree {
  return encodeField(field, notation) as (value: unknown) => Tree;
}

/** Like `fieldEncoderOf`, for a whole message. */
export function messageEncoderOf(desc: DescMessage, notation: Notation): (message: Message) => Tree {
  return encodeMessage(desc, notation) as (message: Message) => Tree;
}

function planOf(desc: DescMessage, notation: Notation): EncodePlan[] {
  const notationPlans = plans.get(notation) ?? new WeakMap<DescMessage, EncodePlan[]>();
  plans.set(notation, notationPlans);
  const cached = notationPlans.get(desc);
  if (cached !== undefined) return cached;
  const plan: EncodePlan[] = [];
  notationPlans.set(desc, plan);
  for (const field of desc.fields) {
    plan.push({
      name: field.name,
      localName: field.localName,
      encode: encodeField(field, notation),
      isSet: hasPresence(field, notation) ? (message) => isFieldSet(message, field) : undefined,
    });
  }
  return plan;
}

/** Proto3 fields without `optional` are required in vAPI, and written even when they are zero. */
function hasPresence(field: DescField, notation: Notation): boolean {
  if (notation.isStrict) return isOptional(field);
  return field.fieldKind === "message" || field.fieldKind === "map" || field.proto.proto3Optional;
}

function encodeMessage(desc: DescMessage, notation: Notation): Encode {
  if (desc.typeName === TimestampSchema.typeName) {
    return (value: Timestamp) => formatDateTime(timestampMs(value));
  }
  const held = heldFieldOf(desc);
  if (held !== undefined) {
    const encode = encodeField(held, notation);
    return (message: Message) => encode((message as unknown as Record<string, never>)[held.localName]!);
  }
  const id = structureIdOf(desc);
  if (notation.isStrict && id === undefined) throw unsupported(desc);
  const plan = planOf(desc, notation);
  return (message: Message) => {
    const tree: { [name: string]: Tree } = {};
    for (const { name, localName, encode, isSet } of plan) {
      const value = (message as unknown as Record<string, never>)[localName]!;
      if (isSet === undefined) {
        tree[name] = encode(value);
        continue;
      }
      const member = notation.optional(isSet(message) ? encode(value) : undefined);
      if (member !== undefined) tree[name] = member;
    }
    return notation.structure(tree, id ?? "");
  };
}

function encodeField(field: DescField, notation: Notation): Encode {
  if (field.oneof !== undefined) throw unsupported(field);
  switch (field.fieldKind) {
    case "scalar":
      return encodeScalar(field, field.scalar, notation);
    case "enum":
      return encodeEnum(field.enum);
    case "message":
      return encodeMessage(field.message, notation);
    case "list": {
      const encode = encodeElement(field, notation);
      return (items: readonly never[]) => items.map(encode);
    }
    case "map": {
      const encode = encodeElement(field, notation);
      return (map: Record<string, never>) =>
        notation.map(Object.entries(map).map(([key, value]) => [key, encode(value)]));
    }
  }
}

function encodeElement(field: DescField & { fieldKind: "list" | "map" }, notation: Notation): Encode {
  if (field.message) return encodeMessage(field.message, notation);
  if (field.enum) return encodeEnum(field.enum);
  return encodeScalar(field, field.scalar!, notation);
}

function encodeScalar(field: DescField, scalar: ScalarType, notation: Notation): Encode {
  switch (scalar) {
    case ScalarType.STRING:
      return isSecret(field) ? (text: string) => notation.secret(text) : (text: string) => text;
    case ScalarType.BOOL:
    case ScalarType.DOUBLE:
      return (value: boolean | number) => value;
    case ScalarType.INT64:
      return (value: bigint) =>
        BigInt.asIntN(53, value) === value ? Number(value) : new NumberLiteral(value.toString());
    default:
      throw unsupported(field);
  }
}

function encodeEnum(desc: DescEnum): Encode {
  const names = new Map(desc.values.map(({ number, localName }) => [number, localName]));
  return (value: number) => names.get(value) ?? String(value);
}
